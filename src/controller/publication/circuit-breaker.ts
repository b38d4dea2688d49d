import { type Duration, second } from '../../domain/duration.ts';
import type { Clock } from '../../lib/clock.ts';
import { errorCode } from '../../lib/error-code.ts';
import { PublicCAFileError } from './private-ca.ts';
import { type FetchedDocument, unknownDocument } from './fetched-document.ts';

/** From the request to the last byte, because the reconcile waits for it. */
export const responseTimeout: Duration = 5 * second;

/** Concurrent requests to one origin; further requests wait. */
const maxConcurrentRequests = 20;
/** A sidecar that is starting refuses a connection, and a first key must not wait long for that. */
const shortestPause: Duration = 250;
/** An origin that recovers receives a request within this time. */
const longestPause: Duration = 5 * second;
/** A single document may be unreadable forever; this many consecutive failures mean that the origin fails. */
const failuresBeforePause = 20;

/**
 * Limits the requests to one origin (a replica, or the proxy in front of it). An origin that does not respond receives one
 * request per pause, for any number of registrations:
 *
 *     closed ──no response──► open for 250 ms ──► one request ──no response──► open for twice as long, up to 5 s
 *        ▲                                             │
 *        └─────────────────response────────────────────┘
 *
 * While the circuit is open, callers get the problem that opened it.
 */
export class CircuitBreaker {
  readonly #clock: Clock;
  readonly #waiting: (() => void)[] = [];
  #active = 0;
  #failures = 0;
  #pause: { readonly problem: string; readonly length: Duration; readonly began: number } | undefined;
  /** Whether the one request after a pause is in progress. */
  #probing = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether the last request got no response. */
  isOpen(): boolean {
    return this.#pause !== undefined;
  }

  /** `request` rejects if the origin does not respond. */
  async run(request: () => Promise<FetchedDocument>): Promise<FetchedDocument> {
    while (!this.#isPaused() && this.#active >= maxConcurrentRequests) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (this.#pause && this.#isPaused()) {
      this.#next();
      return unknownDocument(this.#pause.problem);
    }
    const sentAt = this.#clock.monotonic();
    const probing = this.#pause !== undefined;
    this.#active += 1;
    this.#probing ||= probing;
    try {
      const document = await request();
      this.#responded(document, sentAt);
      return document;
    } catch (error) {
      const timedOut = error instanceof Error && error.name === 'TimeoutError';
      const problem = timedOut ? `does not respond within ${responseTimeout / second} s` : failureText(error);
      this.#beginPause(problem, sentAt, timedOut);
      return unknownDocument(problem);
    } finally {
      this.#active -= 1;
      if (probing) this.#probing = false;
      this.#next();
    }
  }

  #isPaused(): boolean {
    if (!this.#pause) return false;
    return this.#probing || this.#clock.monotonic() < this.#pause.began + this.#pause.length;
  }

  #responded({ keys, problem = '' }: FetchedDocument, sentAt: number): void {
    if (keys) {
      this.#pause = undefined;
      this.#failures = 0;
      return;
    }
    this.#failures += 1;
    if (this.#pause || this.#failures >= failuresBeforePause) this.#beginPause(problem, sentAt, false);
  }

  /** Of concurrent requests, only the first failure counts. */
  #beginPause(problem: string, sentAt: number, timedOut: boolean): void {
    if (this.#pause && sentAt <= this.#pause.began) return;
    const length = timedOut
      ? longestPause
      : this.#pause
        ? Math.min(2 * this.#pause.length, longestPause)
        : shortestPause;
    this.#pause = { problem, length, began: this.#clock.monotonic() };
  }

  #next(): void {
    this.#waiting.shift()?.();
  }
}

function failureText(error: unknown): string {
  if (error instanceof PublicCAFileError) return `is not requested: ${error.message}`;
  return `does not respond (${errorCode(error, 'no valid response')})`;
}
