import { Agent, request } from 'undici';
import { registrationPath } from '../../api/names.ts';
import { type FetchReport, fetchReportPath, parseFetchReport } from '../../documents/fetch-report.ts';
import { type Duration, minute, second } from '../../domain/duration.ts';
import type { Fetches } from '../../domain/fetches.ts';
import { type ObjectKey, splitKey } from '../../kube/objects.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import { inParallel } from '../../lib/in-parallel.ts';
import type { Logger } from '../../observability/log.ts';
import { responseTimeout } from './circuit-breaker.ts';
import { limitedText } from './document-fetcher.ts';
import type { ReplicaTargets } from './replica-targets.ts';

/** One request to each replica per interval, for any number of registrations. */
export const collectionInterval: Duration = minute;
/** Each request also covers this much of the time before the previous one. */
const coveredTwice: Duration = 5 * second;
const concurrentRequests = 4;

export interface FetchCollectorOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** The base URLs of the replicas, without the public URL. */
  readonly replicas: ReplicaTargets;
  /** The port of `--admin-address` of their sidecars. Without it, nothing is collected. */
  readonly adminPort: number | undefined;
  /** The registrations that exist. */
  readonly registrations: () => Iterable<ObjectKey>;
}

/** Collects from all replicas when the document of each registration was last fetched. */
export class FetchCollector {
  readonly #options: FetchCollectorOptions;
  readonly #agent = new Agent({ connectTimeout: responseTimeout });
  /** In monotonic milliseconds. Only of registrations that exist. */
  #fetchedAt = new Map<ObjectKey, number>();
  /** URL → when its last report was requested, in monotonic milliseconds. */
  #requestedAt = new Map<string, number>();
  #complete = false;
  #problem: string | undefined;
  #fetched: (key: ObjectKey) => void = () => undefined;

  constructor(options: FetchCollectorOptions) {
    this.#options = options;
  }

  /** Calls `handler` for each registration that was fetched since the previous collection. */
  onFetched(handler: (key: ObjectKey) => void): void {
    this.#fetched = handler;
  }

  /** Whether every replica reported at the last collection. */
  isComplete(): boolean {
    return this.#complete;
  }

  /** @param now the present as an Instant */
  fetches(key: ObjectKey, now: number): Fetches {
    if (this.#options.adminPort === undefined) return { complete: false, notCollected: true };
    const at = this.#fetchedAt.get(key);
    const complete = this.#complete;
    return at === undefined ? { complete } : { lastAt: now - (this.#options.clock.monotonic() - at), complete };
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.collect();
      await sleep(this.#options.clock, collectionInterval, signal);
    }
    this.#complete = false;
  }

  close(): Promise<void> {
    return this.#agent.close();
  }

  /** Requests a report from every replica. A replica that does not give one is logged. */
  async collect(): Promise<void> {
    const { clock, log, replicas, adminPort } = this.#options;
    if (adminPort === undefined) return;
    const bases = (await replicas()) ?? [];
    const urls = new Set(bases.map((base) => reportURL(base, adminPort)));
    const requestedAt = new Map<string, number>();
    const latest = new Map<string, number>();
    let problem: string | undefined;
    await inParallel(urls, concurrentRequests, async (url) => {
      const sentAt = clock.monotonic();
      try {
        const report = await this.#request(url, this.#requestedAt.get(url), sentAt);
        requestedAt.set(url, sentAt);
        for (const [path, { secondsAgo }] of report) {
          latest.set(path, Math.max(latest.get(path) ?? -Infinity, sentAt - secondsAgo * second));
        }
      } catch (error) {
        problem = `${url}: ${error instanceof Error ? error.message : 'failed'}`;
      }
    });
    const fetched = this.#keep(latest);
    this.#requestedAt = requestedAt;
    this.#complete = urls.size > 0 && requestedAt.size === urls.size;
    for (const key of fetched) this.#fetched(key);
    if (problem !== undefined && this.#problem === undefined) {
      log.warn({ error: new Error(problem) }, 'cannot collect the times of fetches from every replica; retrying');
    }
    this.#problem = problem;
  }

  /** Merges the new times, and drops those of registrations that no longer exist. Returns the registrations with a later time. */
  #keep(latest: ReadonlyMap<string, number>): readonly ObjectKey[] {
    const fetchedAt = new Map<ObjectKey, number>();
    const later: ObjectKey[] = [];
    for (const key of this.#options.registrations()) {
      const { namespace, name } = splitKey(key);
      const before = this.#fetchedAt.get(key) ?? -Infinity;
      const at = Math.max(before, latest.get(registrationPath(namespace, name)) ?? -Infinity);
      if (at !== -Infinity) fetchedAt.set(key, at);
      if (at > before) later.push(key);
    }
    this.#fetchedAt = fetchedAt;
    return later;
  }

  /** Without an earlier request, the report covers the whole life of the sidecar. */
  async #request(url: string, before: number | undefined, now: number): Promise<FetchReport> {
    const seconds = before === undefined ? undefined : Math.ceil((now - before + coveredTwice) / second);
    const { statusCode, body } = await request(seconds === undefined ? url : `${url}?within=${seconds}`, {
      dispatcher: this.#agent,
      signal: AbortSignal.timeout(responseTimeout),
    });
    const text = await limitedText(body);
    if (statusCode !== 200) throw new Error(`responds with status ${statusCode}`);
    const report = text === undefined ? undefined : parseFetchReport(text);
    if (!report) throw new Error('is not a report of fetches');
    return report;
  }
}

function reportURL(base: string, adminPort: number): string {
  return `http://${new URL(base).hostname}:${adminPort}${fetchReportPath}`;
}
