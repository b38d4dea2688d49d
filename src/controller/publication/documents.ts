import { isIP } from 'node:net';
import { Agent, request } from 'undici';
import type { Duration } from '../../domain/duration.ts';
import { largestDocumentBytes } from '../../documents/document-file.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import { AnnouncedLifetimes, cacheLifetime } from './cache-lifetime.ts';
import { answerTimeout, Origin } from './origin.ts';
import { connectorTrusting } from './private-ca.ts';
import { noAnswer, type ServedDocument } from './served-document.ts';
import { ServedKeys } from './served-keys.ts';

/** Documents of many registrations change often and are asked for by each of them; this long they share one answer. */
const sharingPause: Duration = 50;

const options = { allowH2: false, connectTimeout: answerTimeout } as const;

interface Shared {
  current?: Promise<ServedDocument>;
  next?: Promise<ServedDocument>;
  held?: { readonly etag: string; readonly document: ServedDocument };
}

/** Fetches served documents. Never rejects: a replica that gives no answer is a document without keys to know. */
export class ServedDocuments {
  readonly #agent: Agent;
  /** For replicas that are asked by their address, which no certificate names. Nothing is sent to them but the question. */
  readonly #unverifiedAgent = new Agent({ ...options, connect: { timeout: answerTimeout, rejectUnauthorized: false } });
  readonly #clock: Clock;
  readonly #shared = new Map<string, Shared>();
  readonly #origins = new Map<string, Origin>();
  readonly #lifetimes: AnnouncedLifetimes;

  /** `caFile` has the authorities, besides the usual ones, that may vouch for who is asked by name. */
  constructor(clock: Clock, caFile?: string) {
    this.#clock = clock;
    this.#agent = new Agent({
      ...options,
      ...(caFile === undefined ? {} : { connect: connectorTrusting(caFile, { timeout: answerTimeout }) }),
    });
    this.#lifetimes = new AnnouncedLifetimes(clock);
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

  /** Whether one that was asked rests because it gave no answer. */
  isSilent(): boolean {
    return [...this.#origins.values()].some((origin) => origin.isSilent());
  }

  /** The longest cache lifetime that these base URLs announced; while they have announced nothing, what was known before. */
  longestLifetime(bases: readonly string[]): Duration {
    return this.#lifetimes.longest(bases.map((base) => new URL(base).origin));
  }

  /** Forgets what was learned of all but these base URLs: replicas come and go for as long as the leader lives. */
  keepOnly(bases: readonly string[]): void {
    const gone = (url: string): boolean => !bases.some((base) => url.startsWith(`${base}/`));
    for (const url of this.#shared.keys()) if (gone(url)) this.#shared.delete(url);
    const origins = new Set(bases.map((base) => new URL(base).origin));
    for (const origin of this.#origins.keys()) if (!origins.has(origin)) this.#origins.delete(origin);
    this.#lifetimes.forget((origin) => !origins.has(origin));
  }

  async close(): Promise<void> {
    await Promise.all([this.#agent.close(), this.#unverifiedAgent.close()]);
  }

  #fetch(url: string, shared: Shared): Promise<ServedDocument> {
    const { origin } = new URL(url);
    const asked = this.#origins.get(origin) ?? new Origin(this.#clock);
    this.#origins.set(origin, asked);
    return asked.ask(async () => {
      const document = await this.#request(url, shared);
      if (document.keys && document.problem === undefined) this.#lifetimes.announce(origin, document.cacheLifetime);
      return document;
    });
  }

  async #request(url: string, shared: Shared): Promise<ServedDocument> {
    const { held } = shared;
    const { statusCode, headers, body } = await request(url, {
      dispatcher: isAddress(new URL(url).hostname) ? this.#unverifiedAgent : this.#agent,
      signal: AbortSignal.timeout(answerTimeout),
      headers: { accept: 'application/json', ...(held ? { 'if-none-match': held.etag } : {}) },
    });
    const text = await limitedText(body);
    if (statusCode === 304 && held) return held.document;
    // A registration without a key, or one that the replica has not heard of: either way it serves none.
    if (statusCode === 404) return { keys: new ServedKeys(), cacheLifetime: 0, problem: 'answers 404' };
    if (statusCode === 503) return { ...noAnswer('answers 503'), unavailable: true };
    if (statusCode !== 200) return noAnswer(`answers ${statusCode}`);
    const keys = readableKeys(text);
    if (!keys) return noAnswer('gives no key set');
    const document = { keys, cacheLifetime: cacheLifetime(String(headers['cache-control'] ?? '')) };
    const { etag } = headers;
    if (typeof etag === 'string') shared.held = { etag, document };
    return document;
  }
}

function isAddress(hostname: string): boolean {
  return isIP(hostname.replace(/^\[|\]$/g, '')) !== 0;
}

/** Undefined when it is larger than any document. */
async function limitedText(body: AsyncIterable<Buffer>): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > largestDocumentBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function readableKeys(text: string | undefined): ServedKeys | undefined {
  if (text === undefined) return undefined;
  try {
    return ServedKeys.parse(text);
  } catch {
    return undefined;
  }
}
