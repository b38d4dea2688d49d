import { allKeysPath, namespacePath, registrationPath } from '../../api/names.ts';
import type { Duration } from '../../domain/duration.ts';
import type { PublicJwk } from '../../domain/jwk.ts';
import type { Observation } from '../../domain/situation.ts';
import { rsaThumbprint } from '../../lib/thumbprint.ts';
import type { ServedDocument, ServedDocuments } from './documents.ts';
import type { Targets } from './targets.ts';

/** Asks every replica for every document that has to contain a registration's keys. */
export interface PublicationObserver {
  observe(namespace: string, registration: string, keys: readonly PublicJwk[]): Promise<Observation>;
}

export interface ObserverOptions {
  readonly documents: Pick<ServedDocuments, 'fetch' | 'fetchShared' | 'keepOnly'>;
  readonly targets: Targets;
  /** Whether the document of all namespaces is published. */
  readonly allKeys: boolean;
}

interface Answer {
  readonly url: string;
  /** Whether it is the registration's own document, the only one with keys of foreign key IDs. */
  readonly own: boolean;
  readonly document: ServedDocument;
}

export function publicationObserver({ documents, targets, allKeys }: ObserverOptions): PublicationObserver {
  let known: readonly string[] = [];
  return {
    async observe(namespace, registration, keys) {
      const bases = targets();
      if (bases.join() !== known.join()) documents.keepOnly((known = bases));
      if (bases.length === 0) {
        return { servedKeyIDs: new Set(), detail: 'there is no ready replica to ask', cacheLifetime: 0 };
      }
      const shared = [namespacePath(namespace), ...(allKeys ? [allKeysPath] : [])];
      const own = async (url: string): Promise<Answer> => ({ url, own: true, document: await documents.fetch(url) });
      const common = async (url: string): Promise<Answer> => ({
        url,
        own: false,
        document: await documents.fetchShared(url),
      });
      const asked = bases.flatMap((base) => [
        own(base + registrationPath(namespace, registration)),
        ...shared.map((path) => common(base + path)),
      ]);
      return summary(await Promise.all(asked), keys);
    },
  };
}

function summary(answers: readonly Answer[], keys: readonly PublicJwk[]): Observation {
  const lacks = (answer: Answer, key: PublicJwk): boolean =>
    !answer.document.keyIDs.has(key.kid) && (answer.own || key.kid === rsaThumbprint(key));
  const served = keys.filter((key) => !answers.some((answer) => lacks(answer, key)));
  const lacking = answers.find((answer) => keys.some((key) => lacks(answer, key)));
  const cacheLifetime: Duration = Math.max(0, ...answers.map(({ document }) => document.cacheLifetime));
  const detail = lacking ? `${lacking.url} ${lacking.document.problem ?? 'does not contain it'}` : '';
  return { servedKeyIDs: new Set(served.map(({ kid }) => kid)), detail, cacheLifetime };
}
