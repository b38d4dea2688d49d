import type { Duration } from '../domain/duration.ts';

/** The errors of requests to the API server, by what the caller may conclude. */

type ApiErrorDetails = Pick<ApiError, 'status' | 'reason'> &
  Partial<Pick<ApiError, 'serverMessage' | 'missing' | 'retryAfter'>>;

/** The API server, or a proxy in front of it, refused the request. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  /** `reason` of the Status, as `Conflict`; `Unknown` if the answer is not a Status. */
  readonly reason: string;
  /**
   * The message of the Status, at most 500 characters on one line; if it repeats a value of a Secret, a sentence that says so.
   * Undefined if there is no message.
   */
  readonly serverMessage: string | undefined;
  /**
   * What does not exist according to the server; never set because of a 404 alone. A missing type (its CRD is deleted, or
   * not installed yet) says nothing about objects.
   */
  readonly missing: 'object' | 'resource type' | undefined;
  readonly retryAfter: Duration | undefined;

  constructor(message: string, { status, reason, serverMessage, missing, retryAfter }: ApiErrorDetails) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.serverMessage = serverMessage;
    this.missing = missing;
    this.retryAfter = retryAfter;
  }
}

/**
 * - `Connection`: no answer, or an incomplete one; a write may have taken effect.
 * - `Timeout`: no complete answer within the deadline; a write may have taken effect.
 * - `Malformed`: an invalid answer, which was not used.
 * - `Credentials`: no request was sent, because there are no usable credentials.
 */
export type TransportFailure = 'Connection' | 'Timeout' | 'Malformed' | 'Credentials';

/** There is no usable answer. The error has no `cause`, because parser and socket errors quote their input. */
export class TransportError extends Error {
  override readonly name = 'TransportError';
  readonly failure: TransportFailure;

  constructor(failure: TransportFailure, message: string) {
    super(message);
    this.failure = failure;
  }
}

/** Whether rights, quota, validation, admission or a failing webhook refuse the request; a plain retry is refused, too. */
export function isRefusal(error: unknown): error is ApiError {
  return error instanceof ApiError && [400, 403, 405, 406, 413, 415, 422, 500].includes(error.status);
}

/** As `isRefusal`, for a write: its namespace or resource type may be missing, too, or finalizers may hold a deleted object. */
export function isRefusedWrite(error: unknown): error is ApiError {
  const isPlaceMissing = error instanceof ApiError && error.status === 404 && error.missing !== 'object';
  return isRefusal(error) || isPlaceMissing || isHeldByFinalizers(error);
}

/** The most characters of a message with text from the server or from other clients. */
export const longestMessage = 500;

const heldReason = 'HeldByFinalizers';

/** The server accepted the deletion, but the object stays, with all that is in it, until others remove their finalizers. */
export function heldByFinalizers(operation: string, finalizers: readonly string[]): ApiError {
  const serverMessage = `finalizers ${finalizers.join(', ')}`.slice(0, longestMessage);
  return new ApiError(`${operation}: the object stays because of its ${serverMessage}`, {
    status: 200,
    reason: heldReason,
    serverMessage,
  });
}

export function isHeldByFinalizers(error: unknown): error is ApiError {
  return error instanceof ApiError && error.reason === heldReason;
}

/** Whether the server said that exactly this object does not exist. */
export function isObjectNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.missing === 'object';
}

/** Resolves as `request`, or with `undefined` if the server said that exactly this object does not exist. */
export async function ifExists<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (isObjectNotFound(error)) return undefined;
    throw error;
  }
}

/** Not a fault: another process wrote first, and its write may not have reached the cache yet. */
export function isLostRace(error: unknown): boolean {
  return isConflict(error) || isAlreadyExists(error);
}

/** Whether the object has changed since it was read. */
export function isConflict(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409 && error.reason === 'Conflict';
}

export function isAlreadyExists(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409 && error.reason === 'AlreadyExists';
}
