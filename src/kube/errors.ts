import type { Duration } from '../domain/duration.ts';

/** What can go wrong between the operator and the API server, sorted by what the caller may conclude. */

export interface ApiErrorOptions {
  readonly status: number;
  readonly reason: string;
  readonly serverMessage?: string | undefined;
  /**
   * What the server says does not exist; never set on the strength of a 404 alone. A missing type (its CRD is gone, or not
   * installed yet) says nothing about any object.
   */
  readonly missing?: 'object' | 'resource type' | undefined;
  readonly retryAfter?: Duration | undefined;
}

/** The API server (or something in front of it) answered, and refused. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  /** `reason` of the Status, e.g. `Conflict`; `Unknown` where the answer was no Status. */
  readonly reason: string;
  /**
   * The message of the Status and nothing else, at most 500 characters on one line; where it repeats a value of a Secret, the
   * sentence that says so. Undefined where the answer has none.
   */
  readonly serverMessage: string | undefined;
  readonly missing: 'object' | 'resource type' | undefined;
  /** From `Retry-After`. */
  readonly retryAfter: Duration | undefined;

  constructor(message: string, options: ApiErrorOptions) {
    super(message);
    this.status = options.status;
    this.reason = options.reason;
    this.serverMessage = options.serverMessage;
    this.missing = options.missing;
    this.retryAfter = options.retryAfter;
  }
}

/**
 * - `Connection`: no answer, or one that broke off; a write may or may not have happened.
 * - `Timeout`: the deadline passed; likewise.
 * - `Malformed`: an answer that cannot be what was asked for, none of which was used.
 * - `Credentials`: nothing was sent, for there is nothing to authenticate with.
 */
export type TransportFailure = 'Connection' | 'Timeout' | 'Malformed' | 'Credentials';

/** There is no usable answer. It has no `cause`: parser and socket errors quote what they read. */
export class TransportError extends Error {
  override readonly name = 'TransportError';
  readonly failure: TransportFailure;

  constructor(failure: TransportFailure, message: string) {
    super(message);
    this.failure = failure;
  }
}

/**
 * The request itself is refused, by rights, quota, validation, admission or a webhook that fails: the same one will be again
 * until that changes.
 */
export function isRefusal(error: unknown): error is ApiError {
  return error instanceof ApiError && refusing.has(error.status);
}

const refusing: ReadonlySet<number> = new Set([400, 403, 405, 406, 413, 415, 422, 500]);

/** As `isRefusal`, of a write: its namespace or its resource type may be gone, too. */
export function isRefusedWrite(error: unknown): error is ApiError {
  return isRefusal(error) || (error instanceof ApiError && error.status === 404 && error.missing !== 'object');
}

/** There will be no answer to this read for now, though the API server answers others. */
export function isUnreadable(error: unknown): error is ApiError | TransportError {
  if (error instanceof TransportError) return error.failure === 'Timeout' || error.failure === 'Malformed';
  return isRefusal(error);
}

/**
 * A refusal for those who know the object, e.g. `403 Forbidden: exceeded quota: q, requested: …`: the status, and what the
 * server said without its first words (`secrets "canvas" is forbidden: `).
 */
export function refusalText({ status, reason, serverMessage }: ApiError): string {
  const code = reason === 'Unknown' ? String(status) : `${status} ${reason}`;
  const because = serverMessage?.replace(/^\S+ "[^"]*" is (?:forbidden|invalid): /, '');
  return because ? `${code}: ${because}` : code;
}

/** The server said of this very object that it does not exist. */
export function isObjectNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.missing === 'object';
}

/** The object changed since it was read: read again. */
export function isConflict(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409 && error.reason === 'Conflict';
}

export function isAlreadyExists(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409 && error.reason === 'AlreadyExists';
}
