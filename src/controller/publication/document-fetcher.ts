import { isIP } from 'node:net';
import { Agent, request } from 'undici';
import { type Duration, minute, second } from '../../domain/duration.ts';
import { cacheLifetime } from '../../documents/cache-control.ts';
import { largestDocumentBytes } from '../../documents/document-file.ts';
import { operatorUserAgent } from '../../documents/fetch-report.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import { AnnouncedLifetimes } from './announced-lifetimes.ts';
import { CircuitBreaker, responseTimeout } from './circuit-breaker.ts';
import { connectorTrusting } from './private-ca.ts';
import { type FetchedDocument, unknownDocument } from './fetched-document.ts';
import { ServedKeySet } from './served-key-set.ts';

/**
 * How long requests for an aggregate document are collected, because each of its registrations requests it after a change. Reading
 * one with 10,000 keys takes 45 ms of the main thread.
 */
const collectionTime: Duration = 100;
/** A response that suffices is used again for this long. */
const reuseTime: Duration = 10 * second;
/** An aggregate document that was not requested for this long is dropped: namespaces come and go. */
const retentionTime: Duration = minute;

const options = { allowH2: false, connectTimeout: responseTimeout } as const;

interface Response {
  readonly document: FetchedDocument;
  readonly etag: string | undefined;
}

/** An aggregate document at one URL. */
interface Aggregate {
  requestedAt: number;
  current?: Promise<FetchedDocument>;
  next?: Promise<FetchedDocument>;
  /** The last response, unless a later request failed. */
  last?: Response & { readonly sentAt: number };
}

/** Fetches served documents. It never rejects: a failure is a document whose keys are unknown. */
export class DocumentFetcher {
  readonly #agent: Agent;
  /** For replicas that are requested by their address, which is not in their certificate. The requests contain no secret. */
  readonly #unverifiedAgent = new Agent({
    ...options,
    connect: { timeout: responseTimeout, rejectUnauthorized: false },
  });
  readonly #clock: Clock;
  /** By URL, the least recently requested first. */
  readonly #aggregates = new Map<string, Aggregate>();
  readonly #breakers = new Map<string, CircuitBreaker>();
  readonly #lifetimes: AnnouncedLifetimes;

  /** @param caFile CA certificates that are trusted, in addition to the default ones, for servers requested by a host name */
  constructor(clock: Clock, caFile?: string) {
    this.#clock = clock;
    this.#agent = new Agent({
      ...options,
      ...(caFile === undefined ? {} : { connect: connectorTrusting(caFile, { timeout: responseTimeout }) }),
    });
    this.#lifetimes = new AnnouncedLifetimes(clock);
  }

  fetch(url: string): Promise<FetchedDocument> {
    return this.#fetch(url, async () => (await this.#request(url)).document);
  }

  /**
   * As `fetch`, for an aggregate document, which many registrations request: one request serves all that were collected before it
   * was sent. A response of the last ten seconds is used again if it `suffices`.
   */
  fetchAggregate(url: string, suffices: (document: FetchedDocument) => boolean): Promise<FetchedDocument> {
    const aggregate = this.#aggregate(url);
    const { last } = aggregate;
    if (last && this.#clock.monotonic() < last.sentAt + reuseTime && suffices(last.document)) {
      return Promise.resolve(last.document);
    }
    const begin = (): Promise<FetchedDocument> => {
      delete aggregate.next;
      const response = this.#fetch(url, () => this.#requestAggregate(url, aggregate));
      aggregate.current = response.finally(() => delete aggregate.current);
      return aggregate.current;
    };
    if (!aggregate.current) return begin();
    aggregate.next ??= aggregate.current.then(() => sleep(this.#clock, collectionTime)).then(begin);
    return aggregate.next;
  }

  /** Whether a replica does not respond, so that requests to it are paused. */
  isAnyUnresponsive(): boolean {
    return [...this.#breakers.values()].some((breaker) => breaker.isOpen());
  }

  /** The longest lifetime that these base URLs, or replaced ones, announced and caches may still use; the previous result if there is none. */
  longestLifetime(bases: readonly string[]): Duration {
    return this.#lifetimes.longest(bases.map((base) => new URL(base).origin));
  }

  /** Drops the state of all other base URLs except their cache lifetimes, because replicas come and go. */
  keepOnly(bases: readonly string[]): void {
    const isGone = (url: string): boolean => !bases.some((base) => url.startsWith(`${base}/`));
    for (const url of this.#aggregates.keys()) if (isGone(url)) this.#aggregates.delete(url);
    const origins = new Set(bases.map((base) => new URL(base).origin));
    for (const origin of this.#breakers.keys()) if (!origins.has(origin)) this.#breakers.delete(origin);
  }

  async close(): Promise<void> {
    await Promise.all([this.#agent.close(), this.#unverifiedAgent.close()]);
  }

  #aggregate(url: string): Aggregate {
    const requestedAt = this.#clock.monotonic();
    const aggregate = this.#aggregates.get(url) ?? { requestedAt };
    aggregate.requestedAt = requestedAt;
    this.#aggregates.delete(url);
    this.#aggregates.set(url, aggregate);
    for (const [oldest, other] of this.#aggregates) {
      if (other.requestedAt + retentionTime > requestedAt) break;
      this.#aggregates.delete(oldest);
    }
    return aggregate;
  }

  #fetch(url: string, send: () => Promise<FetchedDocument>): Promise<FetchedDocument> {
    const { origin } = new URL(url);
    const breaker = this.#breakers.get(origin) ?? new CircuitBreaker(this.#clock);
    this.#breakers.set(origin, breaker);
    return breaker.run(async () => {
      const document = await send();
      if (isKeySet(document)) this.#lifetimes.announce(origin, document.cacheLifetime);
      return document;
    });
  }

  async #requestAggregate(url: string, aggregate: Aggregate): Promise<FetchedDocument> {
    const { last } = aggregate;
    const sentAt = this.#clock.monotonic();
    delete aggregate.last;
    const response = await this.#request(url, last);
    if (isKeySet(response.document)) aggregate.last = { ...response, sentAt };
    return response.document;
  }

  async #request(url: string, last?: Response): Promise<Response> {
    const { statusCode, headers, body } = await request(url, {
      dispatcher: isAddress(new URL(url).hostname) ? this.#unverifiedAgent : this.#agent,
      signal: AbortSignal.timeout(responseTimeout),
      headers: {
        accept: 'application/json',
        'user-agent': operatorUserAgent,
        ...(last?.etag === undefined ? {} : { 'if-none-match': last.etag }),
      },
    });
    const text = await limitedText(body);
    if (statusCode === 304 && last) return last;
    const { 'cache-control': cacheControl, etag } = headers;
    const document = documentOf(statusCode, text, String(cacheControl ?? ''));
    return { document, etag: typeof etag === 'string' ? etag : undefined };
  }
}

function documentOf(statusCode: number, text: string | undefined, cacheControl: string): FetchedDocument {
  // The registration has no key, or the replica does not have the registration yet: it serves none either way.
  if (statusCode === 404) return { keys: new ServedKeySet(), cacheLifetime: 0, problem: 'responds with status 404' };
  if (statusCode === 503) return { ...unknownDocument('responds with status 503'), unavailable: true };
  if (statusCode !== 200) return unknownDocument(`responds with status ${statusCode}`);
  const keys = readableKeys(text);
  return keys ? { keys, cacheLifetime: cacheLifetime(cacheControl) } : unknownDocument('is not a JWK Set');
}

function isKeySet({ keys, problem }: FetchedDocument): boolean {
  return keys !== undefined && problem === undefined;
}

function isAddress(hostname: string): boolean {
  return isIP(hostname.replace(/^\[|\]$/g, '')) !== 0;
}

/** Undefined if it is larger than any document. */
export async function limitedText(body: AsyncIterable<Buffer>): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > largestDocumentBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function readableKeys(text: string | undefined): ServedKeySet | undefined {
  if (text === undefined) return undefined;
  try {
    return ServedKeySet.parse(text);
  } catch {
    return undefined;
  }
}
