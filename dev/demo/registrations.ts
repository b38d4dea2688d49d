import { ltiRegistrations } from '../../src/api/names.ts';
import type { LtiRegistration } from '../../src/api/objects.ts';
import type { Informer } from '../../src/kube/informer.ts';
import { createInformer, type InformerOptions } from '../../src/kube/informer.ts';

/** The statuses of the applied registrations as they are now. */
export class Registrations {
  readonly #namespace: string;
  readonly #seen: Informer<LtiRegistration>;

  constructor(namespace: string, shared: Pick<InformerOptions<LtiRegistration>, 'client' | 'clock' | 'log'>) {
    this.#namespace = namespace;
    this.#seen = createInformer<LtiRegistration>({ ...shared, namespaces: [namespace], type: ltiRegistrations });
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
