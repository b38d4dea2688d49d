import { type Duration, second } from '../../domain/duration.ts';
import type { Clock } from '../../lib/clock.ts';
import { noAnswer, type ServedDocument } from './served-document.ts';

/** From the question to the last byte, because whoever asks waits for it. */
export const answerTimeout: Duration = 5 * second;

/** Questions that one origin gets at a time; the others wait for their turn. */
const questionsAtATime = 20;
/** A sidecar that was just starting refuses one connection, and a first key must not wait long for that. */
const firstRest: Duration = 250;
/** An origin that answers again is asked again within this. */
const longestRest: Duration = 5 * second;
/** A single document may be unreadable for ever; this many refusals in a row are a matter of the origin. */
const refusalsBeforeRest = 20;

/**
 * A replica, or what stands before it, as one that is asked. However many registrations want to know, an origin that
 * gives no answer gets one question per rest:
 *
 *     answers ──no answer──► rests 250 ms ──► one question ──no answer──► rests twice as long, up to 5 s
 *        ▲                                        │
 *        └────────────────answer──────────────────┘
 *
 * Who asks during a rest gets the problem that began it.
 */
export class Origin {
  readonly #clock: Clock;
  readonly #waiting: (() => void)[] = [];
  #asking = 0;
  #refusals = 0;
  #rest: { readonly problem: string; readonly length: Duration; readonly began: number } | undefined;
  /** Whether the one question after a rest is under way. */
  #probing = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether it gave no answer when it was asked last. */
  isSilent(): boolean {
    return this.#rest !== undefined;
  }

  /** The question rejects when the origin gave no answer at all. */
  async ask(question: () => Promise<ServedDocument>): Promise<ServedDocument> {
    while (!this.#isResting() && this.#asking >= questionsAtATime) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (this.#rest && this.#isResting()) {
      this.#next();
      return noAnswer(this.#rest.problem);
    }
    const asked = this.#clock.monotonic();
    const probing = this.#rest !== undefined;
    this.#asking += 1;
    this.#probing ||= probing;
    try {
      const document = await question();
      this.#heard(document, asked);
      return document;
    } catch (error) {
      const timedOut = error instanceof Error && error.name === 'TimeoutError';
      const problem = timedOut ? `gives no answer within ${answerTimeout / second} s` : silence(error);
      this.#beginRest(problem, asked, timedOut);
      return noAnswer(problem);
    } finally {
      this.#asking -= 1;
      if (probing) this.#probing = false;
      this.#next();
    }
  }

  #isResting(): boolean {
    if (!this.#rest) return false;
    return this.#probing || this.#clock.monotonic() < this.#rest.began + this.#rest.length;
  }

  #heard({ keys, problem = '' }: ServedDocument, asked: number): void {
    if (keys) {
      this.#rest = undefined;
      this.#refusals = 0;
      return;
    }
    this.#refusals += 1;
    if (this.#rest || this.#refusals >= refusalsBeforeRest) this.#beginRest(problem, asked, false);
  }

  /** Of the questions that were under way together, the first failure counts for all. */
  #beginRest(problem: string, asked: number, timedOut: boolean): void {
    if (this.#rest && asked <= this.#rest.began) return;
    const length = timedOut ? longestRest : this.#rest ? Math.min(2 * this.#rest.length, longestRest) : firstRest;
    this.#rest = { problem, length, began: this.#clock.monotonic() };
  }

  #next(): void {
    this.#waiting.shift()?.();
  }
}

function silence(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'no usable answer';
  return `gives no answer (${code})`;
}
