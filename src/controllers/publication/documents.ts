import { isIP } from 'node:net';
import { Agent, request } from 'undici';
import { type Duration, second } from '../../domain/duration.ts';
import { largestDocumentBytes } from '../../domain/jwks-document-file.ts';
import { type Clock, sleep } from '../../lib/clock.ts';

/** What one replica serves at one path. */
export interface ServedDocument {
  readonly keyIDs: ReadonlySet<string>;
  /** max-age + stale-while-revalidate + stale-if-error of its Cache-Control. */
  readonly cacheLifetime: Duration;
  /** For people; set when it is not a readable key set. */
  readonly problem?: string;
}

/** From the question to the last byte, for whoever asks waits for it. */
const timeout: Duration = 5 * second;
/** A replica that took all that time is not asked again for this long: others must not wait for it one after another. */
const restAfterTimeout: Duration = 5 * second;
/** Documents of many registrations change often and are asked for by each of them; this long they share one answer. */
const sharingPause: Duration = 50;

/** As many as registrations that are looked at at a time, and their shared documents, so that none waits for another. */
const limits = { allowH2: false, connections: 20, connectTimeout: timeout } as const;

interface Shared {
  current?: Promise<ServedDocument>;
  next?: Promise<ServedDocument>;
  held?: { readonly etag: string; readonly document: ServedDocument };
}

/** Fetches served documents. Never rejects: a replica that does not answer serves nothing. */
export class ServedDocuments {
  readonly #agent = new Agent(limits);
  /** For replicas that are asked by their address, which no certificate names. Nothing is sent to them but the question. */
  readonly #unnamed = new Agent({ ...limits, connect: { timeout, rejectUnauthorized: false } });
  readonly #clock: Clock;
  readonly #shared = new Map<string, Shared>();
  /** Origin → monotonic milliseconds until which it is not asked. */
  readonly #resting = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  fetch(url: string): Promise<ServedDocument> {
    return this.#fetch(url, {});
  }

  /** As `fetch`, for documents that many ask for: one fetch answers everybody who asked before it began. */
  fetchShared(url: string): Promise<ServedDocument> {
    const shared = this.#shared.get(url) ?? {};
    this.#shared.set(url, shared);
    const begin = (): Promise<ServedDocument> => {
      delete shared.next;
      shared.current = this.#fetch(url, shared).finally(() => delete shared.current);
      return shared.current;
    };
    if (!shared.current) return begin();
    shared.next ??= shared.current.then(() => sleep(this.#clock, sharingPause)).then(begin);
    return shared.next;
  }

  /** Forgets what was learned of all but these base URLs: replicas come and go for as long as the leader lives. */
  keepOnly(bases: readonly string[]): void {
    const gone = (url: string): boolean => !bases.some((base) => url.startsWith(`${base}/`));
    for (const url of this.#shared.keys()) if (gone(url)) this.#shared.delete(url);
    for (const origin of this.#resting.keys()) if (gone(`${origin}/`)) this.#resting.delete(origin);
  }

  async close(): Promise<void> {
    await Promise.all([this.#agent.close(), this.#unnamed.close()]);
  }

  async #fetch(url: string, shared: Shared): Promise<ServedDocument> {
    const { held } = shared;
    const { origin, hostname } = new URL(url);
    const now = (): number => this.#clock.monotonic();
    if ((this.#resting.get(origin) ?? 0) > now()) return nothing(noAnswer);
    try {
      const response = await request(url, {
        dispatcher: isAddress(hostname) ? this.#unnamed : this.#agent,
        signal: AbortSignal.timeout(timeout),
        headers: { accept: 'application/json', ...(held ? { 'if-none-match': held.etag } : {}) },
      });
      const text = await limitedText(response.body);
      if (response.statusCode === 304 && held) return held.document;
      if (response.statusCode !== 200) return nothing(`answers ${response.statusCode}`);
      const lifetime = cacheLifetime(String(response.headers['cache-control'] ?? ''));
      const document = { keyIDs: keyIDs(text), cacheLifetime: lifetime };
      const etag = response.headers['etag'];
      if (typeof etag === 'string') shared.held = { etag, document };
      return document;
    } catch (error) {
      if (error instanceof Error && error.name === 'TimeoutError') {
        this.#resting.set(origin, now() + restAfterTimeout);
        return nothing(noAnswer);
      }
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'no usable answer';
      return nothing(`gives no key set (${code})`);
    }
  }
}

const noAnswer = `gives no answer within ${timeout / second} s`;

function isAddress(hostname: string): boolean {
  return isIP(hostname.replace(/^\[|\]$/g, '')) !== 0;
}

function nothing(problem: string): ServedDocument {
  return { keyIDs: new Set(), cacheLifetime: 0, problem };
}

async function limitedText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > largestDocumentBytes) throw new RangeError('the document is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function keyIDs(text: string): ReadonlySet<string> {
  const { keys } = JSON.parse(text) as { keys?: unknown };
  if (!Array.isArray(keys)) throw new TypeError('no key set');
  return new Set(keys.flatMap((key: { kid?: unknown }) => (typeof key?.kid === 'string' ? [key.kid] : [])));
}

/** RFC 9111 §5.2.2.1 and RFC 5861: how long a cache may go on with this answer at the most. */
export function cacheLifetime(cacheControl: string): Duration {
  let seconds = 0;
  for (const [, value] of cacheControl.matchAll(
    /(?:^|[\s,])(?:max-age|stale-while-revalidate|stale-if-error)=(\d{1,9})/g,
  )) {
    seconds += Number(value);
  }
  return seconds * second;
}
