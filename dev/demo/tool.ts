import { secrets } from '../../src/api/names.ts';
import { MountedDirectory } from '../../src/development/mounted-directory.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import type { Secret } from '../../src/kube/objects.ts';
import type { Clock } from '../../src/lib/clock.ts';
import {
  type Delivery,
  type KeyDirectory,
  openKeyDirectory,
  signClientAssertion,
} from '../../tool/typescript/src/tool-keys.ts';

export interface ToolOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly namespace: string;
  readonly secretName: string;
  /** Where the Secret is "mounted"; private to this user. */
  readonly folder: string;
}

/** A tool as a Pod would run it: its only input is its mounted delivery Secret, which the library of tool/typescript follows. */
export class Tool {
  readonly #options: ToolOptions;
  readonly #directory: MountedDirectory;
  readonly #keys: KeyDirectory;
  /** The version of the Secret that is mounted. */
  #mounted: string | undefined;

  private constructor(options: ToolOptions, directory: MountedDirectory, keys: KeyDirectory, mounted: string) {
    this.#options = options;
    this.#directory = directory;
    this.#keys = keys;
    this.#mounted = mounted;
  }

  /** Mounts the Secret, which has to exist. */
  static async start(options: ToolOptions): Promise<Tool> {
    const { client, clock, namespace, secretName, folder } = options;
    const directory = await MountedDirectory.claim(folder, clock);
    const secret = await client.get<Secret>(secrets, namespace, secretName);
    await directory.swap(filesOf(secret));
    return new Tool(options, directory, await openKeyDirectory(folder), versionOf(secret));
  }

  /** What the kubelet does. The mount stays as it is while the API does not answer. */
  async mount(): Promise<void> {
    const { client, namespace, secretName } = this.#options;
    const secret = await client.get<Secret>(secrets, namespace, secretName).catch(() => undefined);
    if (!secret || versionOf(secret) === this.#mounted) return;
    await this.#directory.swap(filesOf(secret));
    this.#mounted = versionOf(secret);
  }

  /** The key that signs, as the tool has it now. */
  key(): Delivery {
    return this.#keys.current();
  }

  close(): void {
    this.#keys.close();
  }
}

/** The client assertion that asks a platform's token endpoint for an access token (1EdTech Security Framework 1.0 §4.1.1). */
export function signAssertion(key: Delivery): Promise<string> {
  return signClientAssertion({ path: 'the delivery', current: () => key });
}

function filesOf({ data = {} }: Secret): Record<string, string> {
  return Object.fromEntries(Object.entries(data).map(([name, text]) => [name, Buffer.from(text, 'base64').toString()]));
}

function versionOf({ metadata }: Secret): string {
  return metadata.resourceVersion ?? '';
}
