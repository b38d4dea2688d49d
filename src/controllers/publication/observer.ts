import { allKeysPath, namespacePath, registrationPath } from '../../api/names.ts';
import type { Duration } from '../../domain/duration.ts';
import type { Observation } from '../../domain/situation.ts';
import type { ServedDocument, ServedDocuments } from './documents.ts';
import type { Targets } from './targets.ts';

/** Asks every replica for every document that has to contain a registration's keys. */
export interface PublicationObserver {
  observe(namespace: string, registration: string, keyIDs: readonly string[]): Promise<Observation>;
}

export interface ObserverOptions {
  readonly documents: Pick<ServedDocuments, 'fetch' | 'fetchShared'>;
  readonly targets: Targets;
  /** Whether the document of all namespaces is published. */
  readonly allKeys: boolean;
}

interface Answer {
  readonly url: string;
  readonly document: ServedDocument;
}

export function publicationObserver({ documents, targets, allKeys }: ObserverOptions): PublicationObserver {
  return {
    async observe(namespace, registration, keyIDs) {
      const bases = targets();
      if (bases.length === 0) {
        return { servedKeyIDs: new Set(), detail: 'there is no ready replica to ask', cacheLifetime: 0 };
      }
      const shared = [namespacePath(namespace), ...(allKeys ? [allKeysPath] : [])];
      const answers = await Promise.all(
        bases.flatMap((base) => [
          answer(
            documents.fetch(base + registrationPath(namespace, registration)),
            base + registrationPath(namespace, registration),
          ),
          ...shared.map((path) => answer(documents.fetchShared(base + path), base + path)),
        ]),
      );
      return summary(answers, keyIDs);
    },
  };
}

async function answer(document: Promise<ServedDocument>, url: string): Promise<Answer> {
  return { url, document: await document };
}

function summary(answers: readonly Answer[], keyIDs: readonly string[]): Observation {
  const served = keyIDs.filter((keyID) => answers.every(({ document }) => document.keyIDs.has(keyID)));
  const lacking = answers.find(({ document }) => keyIDs.some((keyID) => !document.keyIDs.has(keyID)));
  const cacheLifetime: Duration = Math.max(0, ...answers.map(({ document }) => document.cacheLifetime));
  const detail = lacking ? `${lacking.url} ${lacking.document.problem ?? 'does not contain it'}` : '';
  return { servedKeyIDs: new Set(served), detail, cacheLifetime };
}
