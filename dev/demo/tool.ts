import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CryptoKey, importPKCS8, SignJWT } from 'jose';
import { secrets } from '../../src/api/names.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import type { Secret } from '../../src/kube/objects.ts';

export interface SigningKey {
  readonly keyID: string;
  readonly privateKey: CryptoKey;
  readonly clientID: string;
  readonly audience: string;
}

export interface ToolOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly secretName: string;
  /** Where the Secret is "mounted"; private to this user. */
  readonly folder: string;
}

/** A tool as a Pod would run it: its only input is the files of its mounted delivery Secret. */
export class Tool {
  readonly #options: ToolOptions;

  constructor(options: ToolOptions) {
    this.#options = options;
  }

  /** What the kubelet does: one file per entry of the Secret. Files stay as they are while the API does not answer. */
  async mount(): Promise<void> {
    const { client, namespace, secretName, folder } = this.#options;
    const secret = await client.get<Secret>(secrets, namespace, secretName).catch(() => undefined);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const [name, content] of Object.entries(secret?.data ?? {})) {
      await writeFile(join(folder, name), Buffer.from(content, 'base64'), { mode: 0o600 });
    }
  }

  async signingKey(): Promise<SigningKey> {
    const read = (name: string): Promise<string> => readFile(join(this.#options.folder, name), 'utf8');
    const registration: { client_id: string; token_audience: string } = JSON.parse(await read('registration.json'));
    return {
      keyID: await read('kid'),
      privateKey: await importPKCS8(await read('private.pem'), 'RS256'),
      clientID: registration.client_id,
      audience: registration.token_audience,
    };
  }
}

/** The client assertion that asks a platform's token endpoint for an access token (1EdTech Security Framework 1.0 §4.1.1). */
export function signAssertion({ keyID, privateKey, clientID, audience }: SigningKey): Promise<string> {
  return new SignJWT()
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid: keyID })
    .setIssuer(clientID)
    .setSubject(clientID)
    .setAudience(audience)
    .setIssuedAt()
    .setExpirationTime('1m')
    .setJti(crypto.randomUUID())
    .sign(privateKey);
}
