import { parseDocumentFile } from '../documents/document-file.ts';
import { allFile, documentOwner, namespaceFile } from '../documents/document-names.ts';
import { inParallel } from '../lib/in-parallel.ts';
import type { DocumentDirectory } from './document-directory.ts';
import type { KeySource } from './key-source.ts';
import type { PublishedKey, RegistrationRef } from './published-key.ts';

const requestsAtATime = 4;

export interface Leftovers {
  /** Documents to remove. */
  readonly gone: readonly string[];
  /** Some documents stay for now, because the API server did not confirm that their LtiKeys are gone. */
  readonly unconfirmed: boolean;
}

/** The documents that a previous run of the container left in the publish directory. */
export class PreviousRun {
  readonly #directory: DocumentDirectory;
  readonly #source: Pick<KeySource, 'unread' | 'confirmNone'>;
  /** Key IDs that `withdraw` has not searched for yet. */
  readonly #revoked = new Set<string>();

  constructor(directory: DocumentDirectory, source: Pick<KeySource, 'unread' | 'confirmNone'>) {
    this.#directory = directory;
    this.#source = source;
  }

  /**
   * Finds the documents that are not current and whose registration has no LtiKey, by a live answer of the API server. The documents
   * of a namespace that was never read stay. Rejects if the directory cannot be read.
   */
  async leftovers(isCurrent: (file: string) => boolean): Promise<Leftovers> {
    const others = (await this.#directory.documents()).filter((file) => !isCurrent(file));
    const gone: string[] = [];
    const kept = new Set<string>();
    await inParallel(others, requestsAtATime, async (file) => {
      const owner = documentOwner(file);
      if (owner?.scope === 'registration') {
        if (await this.#isGone(owner)) gone.push(file);
        else kept.add(namespaceFile(owner.namespace));
      } else if (owner?.scope === 'namespace') {
        if (this.#source.unread().includes(owner.namespace)) kept.add(file);
      } else gone.push(file);
    });
    gone.push(...others.filter((file) => documentOwner(file)?.scope === 'namespace' && !kept.has(file)));
    return { gone, unconfirmed: kept.size > 0 };
  }

  /** Records the revoked keys among these; the document of all namespaces may still list them. */
  revoked(keys: readonly PublishedKey[]): void {
    for (const { state, publicJWK } of keys) if (state === 'Revoked') this.#revoked.add(publicJWK.kid);
  }

  /** Removes the document of all namespaces, which cannot be rewritten yet, if it lists a revoked key. */
  async withdraw(): Promise<void> {
    if (this.#revoked.size > 0 && (await this.#mayHoldRevoked())) await this.#directory.remove(allFile);
    this.#revoked.clear();
  }

  /** True also for a file that is not a valid document. */
  async #mayHoldRevoked(): Promise<boolean> {
    const bytes = await this.#directory.read(allFile);
    if (bytes === undefined) return false;
    try {
      return parseDocumentFile(bytes).keys.some(({ kid }) => this.#revoked.has(kid));
    } catch {
      return true;
    }
  }

  async #isGone({ namespace, registration }: RegistrationRef): Promise<boolean> {
    if (this.#source.unread().includes(namespace)) return false;
    return this.#source.confirmNone(namespace, registration).catch(() => false);
  }
}
