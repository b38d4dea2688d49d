import { KekError } from './errors.ts';
import type { Kek, KekProvider, KekStatus } from './kek-provider.ts';
import type { WrappedKey } from './wrapped-key.ts';

/**
 * A directory of KEKs and a KMS, for migrating from one to the other. Each opens what it sealed. The directory seals if its file
 * `primary` names a KEK; otherwise the KMS seals.
 */
export class CombinedKekProvider implements KekProvider {
  readonly #files: KekProvider;
  readonly #kms: KekProvider;

  constructor(options: { files: KekProvider; kms: KekProvider }) {
    this.#files = options.files;
    this.#kms = options.kms;
  }

  async status(): Promise<KekStatus> {
    const [files, kms] = await Promise.all([this.#files.status(), this.#kms.status()]);
    if (!files.problems.some(sealsNothing)) {
      return { sealingKekID: files.sealingKekID, problems: [...files.problems, ...kms.problems] };
    }
    const others = files.problems.filter((problem) => !sealsNothing(problem));
    return { sealingKekID: kms.sealingKekID, problems: [...kms.problems, ...others] };
  }

  async sealingKey(): Promise<Kek> {
    try {
      return await this.#files.sealingKey();
    } catch (error) {
      if (!(error instanceof KekError) || !sealsNothing(error)) throw error;
      return this.#kms.sealingKey();
    }
  }

  openingKey(kekID: string, wrapped?: WrappedKey): Promise<Kek> {
    return wrapped ? this.#kms.openingKey(kekID, wrapped) : this.#files.openingKey(kekID);
  }
}

/** Not so for a missing directory, which is a fault. */
function sealsNothing({ reason }: KekError): boolean {
  return reason === 'KEKPrimaryMissing';
}
