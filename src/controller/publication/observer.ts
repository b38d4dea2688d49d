import { allKeysPath, namespacePath, registrationPath } from '../../api/names.ts';
import type { Duration } from '../../domain/duration.ts';
import type { PublicJwk } from '../../domain/public-jwk.ts';
import type { Observation } from '../../domain/situation.ts';
import { rsaThumbprint } from '../../lib/thumbprint.ts';
import type { ServedDocuments } from './documents.ts';
import type { ServedDocument } from './served-document.ts';
import type { Targets } from './targets.ts';

export interface KeysToObserve {
  /** Keys that have to be served. */
  readonly present: readonly PublicJwk[];
  /** Keys that nobody may serve any more. */
  readonly absent: readonly PublicJwk[];
  /**
   * Key IDs among `absent` that another registration of the namespace goes on using: only the registration's own
   * document is asked about them.
   */
  readonly shared?: ReadonlySet<string>;
}

/** Asks every replica for every document that a registration's keys belong to. */
export interface PublicationObserver {
  observe(namespace: string, registration: string, keys: KeysToObserve): Promise<Observation>;
  /** Whether a replica gives no answer at all, so that nothing can be said to be served by every one. */
  isSilent(): boolean;
}

export interface ObserverOptions {
  readonly documents: Pick<ServedDocuments, 'fetch' | 'fetchShared' | 'keepOnly' | 'longestLifetime' | 'isSilent'>;
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
    isSilent: () => documents.isSilent(),
    async observe(namespace, registration, keys) {
      const bases = await targets();
      if (bases === undefined || bases.length === 0) {
        const why = bases
          ? 'there is no ready replica to ask'
          : 'the list of replicas is not current: the watch is not connected';
        return nothingKnown(keys, why, documents.longestLifetime([]));
      }
      if (bases.join() !== known.join()) documents.keepOnly((known = bases));
      const aggregates = isInAggregates(keys) ? [namespacePath(namespace), ...(allKeys ? [allKeysPath] : [])] : [];
      const path = registrationPath(namespace, registration);
      const answers = (await Promise.all(bases.map((base) => ask(documents, base, path, aggregates)))).flat();
      const { stillServed } = absence(answers, keys);
      const absent = keys.absent.filter(({ kid }) => !stillServed.has(kid));
      return {
        ...presence(answers, keys),
        stillServed,
        absentKeyIDs: new Set(absent.map(({ kid }) => kid)),
        cacheLifetime: documents.longestLifetime(bases),
      };
    },
  };
}

/** Of one replica. Who asks for an aggregate shares the answer with the others. */
async function ask(
  documents: Pick<ServedDocuments, 'fetch' | 'fetchShared'>,
  base: string,
  path: string,
  aggregates: readonly string[],
): Promise<readonly Answer[]> {
  const [own, ...shared] = await Promise.all([
    documents.fetch(base + path),
    ...aggregates.map((aggregate) => documents.fetchShared(base + aggregate)),
  ]);
  const answers = shared.map((document, index) => ({ url: base + aggregates[index]!, own: false, document }));
  // A replica for which some namespace cannot be read has no document of all namespaces. It serves nobody there, and the other
  // namespaces do not wait for that one.
  const isThere = ({ url, document }: Answer): boolean =>
    !(own.keys && document.unavailable && url === base + allKeysPath);
  return [{ url: base + path, own: true, document: own }, ...answers.filter(isThere)];
}

function isInAggregates({ present, absent, shared }: KeysToObserve): boolean {
  return present.some(hasOwnKeyID) || absent.some(({ kid }) => !shared?.has(kid));
}

/** A foreign key ID means nothing outside of its registration. */
function hasOwnKeyID(key: PublicJwk): boolean {
  return key.kid === rsaThumbprint(key);
}

function nothingKnown({ absent }: KeysToObserve, why: string, cacheLifetime: Duration): Observation {
  return {
    servedKeyIDs: new Set(),
    missingKeyIDs: new Set(),
    stillServed: new Map(absent.map(({ kid }) => [kid, why])),
    absentKeyIDs: new Set(),
    detail: why,
    cacheLifetime,
  };
}

function presence(
  answers: readonly Answer[],
  { present }: KeysToObserve,
): Pick<Observation, 'servedKeyIDs' | 'missingKeyIDs' | 'detail'> {
  const servedKeyIDs = new Set<string>();
  const missingKeyIDs = new Set<string>();
  const lacking = new Set<string>();
  for (const key of present) {
    const { kid } = key;
    const ownKeyID = hasOwnKeyID(key);
    const without = answers.filter(({ own, document }) => (own || ownKeyID) && !document.keys?.serves(key));
    if (without.length === 0) servedKeyIDs.add(kid);
    for (const { url, document } of without) {
      if (document.keys) missingKeyIDs.add(kid);
      const other = document.keys?.hasID(kid) ? `serves another key as ${kid}` : `does not contain key ${kid}`;
      lacking.add(`${shortened(url)} ${document.problem ?? other}`);
    }
  }
  return { servedKeyIDs, missingKeyIDs, detail: named([...lacking]) };
}

function absence(answers: readonly Answer[], { absent, shared }: KeysToObserve): Pick<Observation, 'stillServed'> {
  const stillServed = new Map<string, string>();
  for (const key of absent) {
    const serving = answers.filter((answer) => (answer.own || !shared?.has(key.kid)) && mayServe(answer, key));
    if (serving.length === 0) continue;
    const who = serving.map(({ url, document: { keys, problem } }) =>
      keys ? `${shortened(url)} still serves it` : `${shortened(url)} ${problem}`,
    );
    stillServed.set(key.kid, named(who));
  }
  return { stillServed };
}

/** Another registration may use the same foreign key ID for a key of its own, which an aggregate then has. */
function mayServe({ own, document: { keys } }: Answer, key: PublicJwk): boolean {
  if (!keys) return true;
  return keys.hasModulus(key) || ((own || hasOwnKeyID(key)) && keys.hasID(key.kid));
}

/** A condition's message has to stay readable, whatever the number of replicas. */
function named(who: readonly string[]): string {
  const shown = who.slice(0, 3);
  return [...shown, ...(who.length > shown.length ? [`and ${who.length - shown.length} more`] : [])].join('; ');
}

function shortened(url: string): string {
  return url.length > 400 ? `${url.slice(0, 399)}…` : url;
}
