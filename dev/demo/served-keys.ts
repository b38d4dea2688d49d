import { type Clock, sleep } from '../../src/lib/clock.ts';

/** Milliseconds since the start of the demo; `to` is missing while the key is served. */
interface Interval {
  readonly from: number;
  to?: number;
}

const pollMs = 200;

/** Which keys the JWKS holds and since when, seen from outside: it is fetched several times a second. */
export class ServedKeys {
  readonly #url: string;
  readonly #elapsed: () => number;
  readonly #intervals = new Map<string, Interval[]>();

  constructor(url: string, elapsed: () => number) {
    this.#url = url;
    this.#elapsed = elapsed;
  }

  async follow(clock: Clock, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const keyIDs = await this.#fetch(signal);
      if (keyIDs) this.#note(keyIDs, this.#elapsed());
      await sleep(clock, pollMs, signal);
    }
  }

  isServed(keyID: string, at?: number): boolean {
    const intervals = this.#intervals.get(keyID) ?? [];
    if (at === undefined) return intervals.some(({ to }) => to === undefined);
    return intervals.some(({ from, to }) => from <= at && at < (to ?? Infinity));
  }

  firstSeen(keyID: string): number | undefined {
    return this.#intervals.get(keyID)?.[0]?.from;
  }

  /** Undefined while it is served. */
  left(keyID: string): number | undefined {
    return this.#intervals.get(keyID)?.at(-1)?.to;
  }

  #note(keyIDs: ReadonlySet<string>, at: number): void {
    for (const [keyID, intervals] of this.#intervals) {
      const latest = intervals.at(-1);
      if (latest && latest.to === undefined && !keyIDs.has(keyID)) latest.to = at;
    }
    for (const keyID of keyIDs) {
      const intervals = this.#intervals.get(keyID) ?? [];
      this.#intervals.set(keyID, intervals);
      if (!this.isServed(keyID)) intervals.push({ from: at });
    }
  }

  /** Undefined when there was no answer. */
  async #fetch(signal: AbortSignal): Promise<ReadonlySet<string> | undefined> {
    try {
      const response = await fetch(this.#url, { signal });
      if (!response.ok) {
        await response.body?.cancel();
        return new Set();
      }
      const { keys }: { keys: readonly { kid: string }[] } = JSON.parse(await response.text());
      return new Set(keys.map(({ kid }) => kid));
    } catch {
      return undefined;
    }
  }
}
