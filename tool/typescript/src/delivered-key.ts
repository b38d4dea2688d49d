import { KeyDirectoryError } from './errors.ts';
import { type Delivery, isSame, type Version } from './version.ts';

/** The key of one registration, as long as the process runs. */
export interface DeliveredKey {
  readonly path: string;
  /** The name of the LtiRegistration, if the directory is a bundle. */
  readonly registration: string | undefined;
  /**
   * The key to sign with, and what belongs to it, from one version of the directory. It does no I/O. Call it for each signature. On a
   * fault it returns the last good version. It throws a `KeyDirectoryError` after the operator has withdrawn the key and after `close`.
   */
  current(): Delivery;
  /**
   * Calls `listener` with the new and the previous version after each change, and returns a function that ends this. A listener that throws
   * or rejects is a warning of the process.
   */
  onChange(listener: (current: Delivery, previous: Delivery) => unknown): () => void;
  /**
   * Calls `listener` when a fault begins or becomes another one, and with `undefined` when it ends. Returns a function that ends this.
   * Without a listener, a fault is a warning of the process.
   */
  onFault(listener: (fault: KeyDirectoryError | undefined) => unknown): () => void;
  /** Why the key cannot be read now; `current` then returns the last good version. */
  fault(): KeyDirectoryError | undefined;
  /** Seconds since the directory was last seen to have what `current` returns: a gauge to alert on. */
  age(): number;
  /** Reads the directory now, for example after a platform refused a token. */
  refresh(): Promise<void>;
}

/** What a look at the files found. */
export type Found = Version | { readonly kind: 'fault'; readonly error: KeyDirectoryError };

/** `previous` is `undefined` if there was no usable key before. */
interface Change {
  readonly current: Delivery;
  readonly previous: Delivery | undefined;
}

type ChangeListener = (current: Delivery, previous: Delivery) => unknown;
type FaultListener = (fault: KeyDirectoryError | undefined) => unknown;

/** The last good version, and why there is no newer one. */
export abstract class FollowedKey implements DeliveredKey {
  readonly path: string;
  readonly registration: string | undefined;
  readonly #changed = new Set<ChangeListener>();
  readonly #faulted = new Set<FaultListener>();
  /** Either `last` or `refusal` is set. */
  #last: Delivery | undefined;
  /** Why `current` throws. */
  #refusal: KeyDirectoryError | undefined;
  #fault: KeyDirectoryError | undefined;
  #confirmedAt = performance.now();
  #closed = false;

  constructor(path: string, registration: string | undefined, found: Found) {
    this.path = path;
    this.registration = registration;
    if (found.kind === 'key') this.#last = found.delivery;
    else this.#refusal = this.#fault = found.error;
  }

  abstract refresh(): Promise<void>;

  current(): Delivery {
    if (this.#refusal) throw this.#refusal;
    return this.#last!;
  }

  /** What `current` returns, `undefined` if it throws. */
  usable(): Delivery | undefined {
    return this.#refusal ? undefined : this.#last;
  }

  fault(): KeyDirectoryError | undefined {
    return this.#fault;
  }

  age(): number {
    return (performance.now() - this.#confirmedAt) / 1000;
  }

  onChange(listener: ChangeListener): () => void {
    this.#changed.add(listener);
    return () => this.#changed.delete(listener);
  }

  onFault(listener: FaultListener): () => void {
    this.#faulted.add(listener);
    return () => this.#faulted.delete(listener);
  }

  /** The directory still has what was found last. `at`: when the look began, by `performance.now()`. */
  confirm(at: number): void {
    if (this.#fault === undefined || this.#fault === this.#refusal) this.#confirmedAt = at;
  }

  /** Returns what is new in `current`. `isWarned`: a warning about the fault was given elsewhere. */
  accept(found: Found, at: number, isWarned = false): Change | undefined {
    if (this.#closed) return undefined;
    const previous = this.#last;
    if (found.kind === 'key') {
      this.#refusal = undefined;
      if (!previous || !isSame(found.delivery, previous)) this.#last = found.delivery;
    } else if (found.kind === 'withdrawn' || !previous) {
      this.#refusal = found.error;
    }
    if (found.kind !== 'fault') this.#confirmedAt = at;
    this.#report(found.kind === 'key' ? undefined : found.error, isWarned);
    const current = this.#last;
    if (current === previous || !current) return undefined;
    if (previous) this.#changed.forEach((listener) => call(() => listener(current, previous)));
    return { current, previous };
  }

  end(): void {
    this.#closed = true;
    this.#refusal = new KeyDirectoryError('Closed', this.path, 'it was closed', 'open it again');
  }

  #report(fault: KeyDirectoryError | undefined, isWarned: boolean): void {
    const before = this.#fault;
    this.#fault = fault;
    if (before?.message === fault?.message) return;
    // A tool that listens to no fault finds it in its log all the same.
    if (fault && this.#faulted.size === 0 && !isWarned) warn(this.#refusal ? fault.message : this.#stillUsed(fault));
    this.#faulted.forEach((listener) => call(() => listener(fault)));
  }

  #stillUsed(fault: KeyDirectoryError): string {
    const age = Math.round(this.age());
    return `${fault.message}; the key ${this.#last?.keyID} stays in use, last confirmed ${age} s ago`;
  }
}

/**
 * Calls a listener after the present step. One that throws or rejects is a warning: all replicas of a tool hear of a rotation at the same
 * time, and would all end. Only the stack is printed: the members of an error may have a request with its client assertion.
 */
export function call(listener: () => unknown): void {
  void Promise.resolve()
    .then(listener)
    .catch((error: unknown) =>
      warn(
        `a listener failed: ${error instanceof Error ? error.stack : `it threw no Error, but a value of type ${typeof error}`}`,
      ),
    );
}

export function warn(message: string): void {
  process.emitWarning(message, 'KeyDirectoryWarning');
}
