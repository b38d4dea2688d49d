import { allKeysPath, namespacePath, registrationPath } from '../../api/names.ts';
import type { Duration } from '../../domain/duration.ts';
import type { PublicJwk } from '../../domain/public-jwk.ts';
import type { Observation } from '../../domain/situation.ts';
import { rsaThumbprint } from '../../lib/thumbprint.ts';
import type { DocumentFetcher } from './document-fetcher.ts';
import type { FetchedDocument } from './fetched-document.ts';
import type { ReplicaTargets } from './replica-targets.ts';

/** A revoked key, or only its ID if neither the ledger nor an LtiKey has the key. */
export type WithdrawnKey = PublicJwk | { readonly kid: string; readonly n?: undefined };

export interface KeysToObserve {
  /** Keys that should be served. */
  readonly present: readonly PublicJwk[];
  /** Keys that may no longer be served. */
  readonly absent: readonly WithdrawnKey[];
  /**
   * Key IDs among `absent` that another registration of the namespace still uses: they are looked up only in the
   * registration's own document.
   */
  readonly shared?: ReadonlySet<string>;
  /** No key waits for its publication, so if none is `absent`, a recent response is as good as a new one. */
  readonly settled?: boolean;
}

/** Requests every document that should contain a registration's keys from every replica. */
export interface PublicationObserver {
  observe(namespace: string, registration: string, keys: KeysToObserve): Promise<Observation>;
  /** Whether a replica does not respond, so that no key is known to be served by all of them. */
  isAnyUnresponsive(): boolean;
}

export interface ObserverOptions {
  readonly documents: Pick<
    DocumentFetcher,
    'fetch' | 'fetchAggregate' | 'keepOnly' | 'longestLifetime' | 'isAnyUnresponsive'
  >;
  readonly targets: ReplicaTargets;
  /** Whether the document of all namespaces is published. */
  readonly allKeys: boolean;
}

interface Response {
  readonly url: string;
  /** Whether it is the registration's own document, the only one that contains keys with foreign key IDs. */
  readonly own: boolean;
  readonly document: FetchedDocument;
}

export function publicationObserver({ documents, targets, allKeys }: ObserverOptions): PublicationObserver {
  let known: readonly string[] = [];
  return {
    isAnyUnresponsive: () => documents.isAnyUnresponsive(),
    async observe(namespace, registration, keys) {
      const bases = await targets();
      if (bases === undefined || bases.length === 0) {
        const why = bases
          ? 'there is no ready replica'
          : 'the list of ready replicas may be outdated, because the watch on EndpointSlices is not connected';
        return nothingKnown(keys, why, documents.longestLifetime([]));
      }
      if (bases.join() !== known.join()) documents.keepOnly((known = bases));
      const aggregates = isInAggregates(keys) ? [namespacePath(namespace), ...(allKeys ? [allKeysPath] : [])] : [];
      const path = registrationPath(namespace, registration);
      const suffices = ({ keys: served }: FetchedDocument): boolean =>
        keys.settled === true &&
        keys.absent.length === 0 &&
        keys.present.every((key) => !hasOwnKeyID(key) || served?.serves(key));
      const from = (base: string): Promise<readonly Response[]> => request(documents, base, path, aggregates, suffices);
      const responses = (await Promise.all(bases.map(from))).flat();
      const { stillServed } = absence(responses, keys);
      const absent = keys.absent.filter(({ kid }) => !stillServed.has(kid));
      return {
        ...presence(responses, keys),
        stillServed,
        absentKeyIDs: new Set(absent.map(({ kid }) => kid)),
        cacheLifetime: documents.longestLifetime(bases),
      };
    },
  };
}

/** Requests the documents of one replica. */
async function request(
  documents: Pick<DocumentFetcher, 'fetch' | 'fetchAggregate'>,
  base: string,
  path: string,
  aggregates: readonly string[],
  suffices: (document: FetchedDocument) => boolean,
): Promise<readonly Response[]> {
  const [own, ...others] = await Promise.all([
    documents.fetch(base + path),
    ...aggregates.map((aggregate) => documents.fetchAggregate(base + aggregate, suffices)),
  ]);
  const responses = others.map((document, index) => ({ url: base + aggregates[index]!, own: false, document }));
  // A replica that cannot read some namespace does not serve the document of all namespaces. The other namespaces do not wait
  // for that one.
  const isExpected = ({ url, document }: Response): boolean =>
    !(own.keys && document.unavailable && url === base + allKeysPath);
  return [{ url: base + path, own: true, document: own }, ...responses.filter(isExpected)];
}

function isInAggregates({ present, absent, shared }: KeysToObserve): boolean {
  return present.some(hasOwnKeyID) || absent.some(({ kid }) => !shared?.has(kid));
}

const thumbprint = /^[\w-]{43}$/;

/** A foreign key ID is unique only within its registration. */
function hasOwnKeyID(key: WithdrawnKey): boolean {
  return key.n === undefined ? thumbprint.test(key.kid) : key.kid === rsaThumbprint(key);
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
  responses: readonly Response[],
  { present }: KeysToObserve,
): Pick<Observation, 'servedKeyIDs' | 'missingKeyIDs' | 'detail'> {
  const servedKeyIDs = new Set<string>();
  const missingKeyIDs = new Set<string>();
  const lacking = new Set<string>();
  for (const key of present) {
    const { kid } = key;
    const ownKeyID = hasOwnKeyID(key);
    const without = responses.filter(({ own, document }) => (own || ownKeyID) && !document.keys?.serves(key));
    if (without.length === 0) servedKeyIDs.add(kid);
    for (const { url, document } of without) {
      if (document.keys) missingKeyIDs.add(kid);
      const other = document.keys?.hasID(kid) ? `serves a different key with ID ${kid}` : `does not contain key ${kid}`;
      lacking.add(`${shortened(url)} ${document.problem ?? other}`);
    }
  }
  return { servedKeyIDs, missingKeyIDs, detail: listed([...lacking]) };
}

function absence(responses: readonly Response[], { absent, shared }: KeysToObserve): Pick<Observation, 'stillServed'> {
  const stillServed = new Map<string, string>();
  for (const key of absent) {
    const serving = responses.filter((response) => (response.own || !shared?.has(key.kid)) && mayServe(response, key));
    if (serving.length === 0) continue;
    const replicas = serving.map(({ url, document: { keys, problem } }) =>
      keys ? `${shortened(url)} still serves it` : `${shortened(url)} ${problem}`,
    );
    stillServed.set(key.kid, listed(replicas));
  }
  return { stillServed };
}

/** An aggregate may contain a key of another registration with the same foreign key ID. */
function mayServe({ own, document: { keys } }: Response, key: WithdrawnKey): boolean {
  if (!keys) return true;
  return (key.n !== undefined && keys.hasModulus(key)) || ((own || hasOwnKeyID(key)) && keys.hasID(key.kid));
}

/** Keeps the message of a condition readable for any number of replicas. */
function listed(replicas: readonly string[]): string {
  const shown = replicas.slice(0, 3);
  return [...shown, ...(replicas.length > shown.length ? [`and ${replicas.length - shown.length} more`] : [])].join(
    '; ',
  );
}

function shortened(url: string): string {
  return url.length > 400 ? `${url.slice(0, 399)}…` : url;
}
