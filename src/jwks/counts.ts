import type { RefusalReason } from './directory-source.ts';

/** Answers by status code: plain integers, for a labelled counter costs more than the answer. Metrics read them when scraped. */
export class RequestCounts {
  readonly #byCode = new Map<number, number>();
  ok = 0;
  notModified = 0;

  count(code: number): void {
    this.#byCode.set(code, (this.#byCode.get(code) ?? 0) + 1);
  }

  *entries(): Iterable<[code: string, answers: number]> {
    yield ['200', this.ok];
    yield ['304', this.notModified];
    for (const [code, answers] of this.#byCode) yield [String(code), answers];
  }
}

/** Files that were not taken over, by reason. */
export class RefusalCounts {
  readonly #byReason = new Map<RefusalReason, number>();

  count(reason: RefusalReason): void {
    this.#byReason.set(reason, (this.#byReason.get(reason) ?? 0) + 1);
  }

  entries(): Iterable<[reason: RefusalReason, files: number]> {
    return this.#byReason;
  }
}
