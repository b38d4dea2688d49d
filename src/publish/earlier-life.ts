import { parseDocumentFile } from '../documents/document-file.ts';
import { allFile, documentPlace, namespaceFile, type PublishedKey } from '../documents/key-set.ts';
import { inParallel } from '../lib/in-parallel.ts';
import type { DocumentDirectory } from './document-directory.ts';
import type { KeySource } from './key-source.ts';

/** The API server is asked about this many registrations at a time. */
const questionsAtATime = 4;

export interface Leftovers {
  /** Documents that are to go. */
  readonly gone: readonly string[];
  /** Others stay for now: nobody could be asked about them. */
  readonly doubted: boolean;
}

/** What an earlier life of the Pod left in the publish directory. */
export class EarlierLife {
  readonly #directory: DocumentDirectory;
  readonly #source: Pick<KeySource, 'unread' | 'confirmNone'>;
  /** Key IDs that `withdraw` has not looked for yet. */
  readonly #revoked = new Set<string>();

  constructor(directory: DocumentDirectory, source: Pick<KeySource, 'unread' | 'confirmNone'>) {
    this.#directory = directory;
    this.#source = source;
  }

  /**
   * The documents that nobody claims and whose registration has no LtiKey, by a live answer of the API server. Those of a namespace
   * that was never read stay. Rejects if the directory cannot be read.
   */
  async unclaimed(isClaimed: (file: string) => boolean): Promise<Leftovers> {
    const others = (await this.#directory.documents()).filter((file) => !isClaimed(file));
    const gone: string[] = [];
    const kept = new Set<string>();
    await inParallel(others, questionsAtATime, async (file) => {
      const { namespace, registration } = documentPlace(file) ?? {};
      if (namespace === undefined) gone.push(file);
      else if (registration !== undefined) {
        if (await this.#isGone(namespace, registration)) gone.push(file);
        else kept.add(namespaceFile(namespace));
      } else if (this.#source.unread().includes(namespace)) kept.add(file);
    });
    const namespaces = others.filter((file) => documentPlace(file)?.registration === undefined);
    gone.push(...namespaces.filter((file) => documentPlace(file)?.namespace !== undefined && !kept.has(file)));
    return { gone, doubted: kept.size > 0 };
  }

  /** These keys are revoked; the document of all namespaces may have them. */
  revoked(keys: readonly PublishedKey[]): void {
    for (const { state, publicJWK } of keys) if (state === 'Revoked') this.#revoked.add(publicJWK.kid);
  }

  /** Removes the document of all namespaces, which nobody can write anew yet, if it has a revoked key. */
  async withdraw(): Promise<void> {
    if (this.#revoked.size > 0 && (await this.#mayHoldRevoked())) await this.#directory.remove(allFile);
    this.#revoked.clear();
  }

  /** One that cannot be read as a document may. */
  async #mayHoldRevoked(): Promise<boolean> {
    const bytes = await this.#directory.read(allFile);
    if (bytes === undefined) return false;
    try {
      return parseDocumentFile(bytes).keys.some(({ kid }) => this.#revoked.has(kid));
    } catch {
      return true;
    }
  }

  async #isGone(namespace: string, registration: string): Promise<boolean> {
    if (this.#source.unread().includes(namespace)) return false;
    return this.#source.confirmNone(namespace, registration).catch(() => false);
  }
}
