import { ltiRegistrations } from '../../src/api/names.ts';
import type { LtiRegistration } from '../../src/api/objects.ts';
import type { Collection } from '../../src/kube/collection.ts';
import { watching, type WatchingOptions } from '../../src/kube/watching.ts';

/** The statuses of the applied registrations as they are now. */
export class Registrations {
  readonly #namespace: string;
  readonly #seen: Collection<LtiRegistration>;

  constructor(namespace: string, shared: Pick<WatchingOptions<LtiRegistration>, 'client' | 'clock' | 'log'>) {
    this.#namespace = namespace;
    this.#seen = watching<LtiRegistration>({ ...shared, namespaces: [namespace], type: ltiRegistrations });
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#seen.run(signal);
  }

  isReady(name: string): boolean {
    return this.#ready(name)?.status === 'True';
  }

  /** Why it is ready, or is not, in the operator's words. */
  explanation(name: string): string {
    return this.#ready(name)?.message ?? 'nothing yet';
  }

  jwksUrl(name: string): string | undefined {
    return this.#status(name)?.jwksURL;
  }

  #ready(name: string): { readonly status: string; readonly message: string } | undefined {
    return this.#status(name)?.conditions?.find(({ type }) => type === 'Ready');
  }

  #status(name: string): LtiRegistration['status'] {
    return this.#seen.get(`${this.#namespace}/${name}`)?.status;
  }
}
