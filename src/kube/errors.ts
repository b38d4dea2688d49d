import { type Duration, second } from '../domain/duration.ts';

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

/** As `isRefusal`, for a write: its namespace or resource type may be missing, too. */
export function isRefusedWrite(error: unknown): error is ApiError {
  return isRefusal(error) || (error instanceof ApiError && error.status === 404 && error.missing !== 'object');
}

/** How long requests are retried before anything else, because most failures are over by then. */
const patience: Duration = 3 * second;

/**
 * Whether to continue without this request, because it timed out or fails for longer than it is retried. `failingFor`: how long the work
 * that needs it has failed. An object that does not exist is an answer.
 */
export function isGivenUp(error: unknown, failingFor: Duration): error is ApiError | TransportError {
  if (error instanceof TransportError) return error.failure === 'Timeout';
  if (!(error instanceof ApiError) || isObjectNotFound(error)) return false;
  return Math.max(failingFor, error.retryAfter ?? 0) > patience;
}

/** Whether to continue without this write, because it was refused or {@link isGivenUp}. */
export function isRefusedOrGivenUp(error: unknown, failingFor: Duration): error is ApiError | TransportError {
  return isRefusedWrite(error) || isGivenUp(error, failingFor);
}

/** Whether this read has no answer for now, although the API server may answer others. */
export function isUnreadable(error: unknown): error is ApiError | TransportError {
  if (error instanceof TransportError) return error.failure === 'Timeout' || error.failure === 'Malformed';
  return isRefusal(error);
}

/** Whether to continue without what this read returns, because it is {@link isUnreadable} or {@link isGivenUp}. */
export function isUnreadableOrGivenUp(error: unknown, failingFor: Duration): error is ApiError | TransportError {
  return isUnreadable(error) || isGivenUp(error, failingFor);
}

/**
 * Describes a refusal in a message that already names the object, as `403 Forbidden: exceeded quota: q, requested: …`: leaves out
 * the first words of the server's message (`secrets "canvas" is forbidden: `). Without an answer, it is the message of the
 * error.
 */
export function refusalText(error: ApiError | TransportError): string {
  if (error instanceof TransportError) return error.message;
  const { status, reason, serverMessage } = error;
  const code = reason === 'Unknown' ? String(status) : `${status} ${reason}`;
  const because = serverMessage?.replace(/^\S+ "[^"]*" is (?:forbidden|invalid): /, '');
  return because ? `${code}: ${because}` : code;
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
