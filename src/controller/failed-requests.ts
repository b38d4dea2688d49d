import { type Duration, second } from '../domain/duration.ts';
import {
  ApiError,
  isHeldByFinalizers,
  isObjectNotFound,
  isRefusal,
  isRefusedWrite,
  TransportError,
} from '../kube/errors.ts';

/** What a pass concludes from a request to the API server that failed, and how it says so in a condition. */

/** How long requests are retried before anything else, because most failures are over by then. */
const patience: Duration = 3 * second;

/**
 * Whether to continue without this request, because it timed out or fails for longer than it is retried: others may succeed although its
 * connection breaks each time. Without credentials, none does. An object that does not exist is an answer.
 *
 * @param failingFor how long the passes that need the request have failed
 */
export function isGivenUp(error: unknown, failingFor: Duration): error is ApiError | TransportError {
  if (error instanceof TransportError) {
    return error.failure === 'Timeout' || (error.failure !== 'Credentials' && failingFor > patience);
  }
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
 * error. For a deleted object that stays, it is what holds the object.
 */
export function refusalText(error: ApiError | TransportError): string {
  if (error instanceof TransportError) return error.message;
  const { status, reason, serverMessage } = error;
  if (isHeldByFinalizers(error) && serverMessage !== undefined) return serverMessage;
  const code = reason === 'Unknown' ? String(status) : `${status} ${reason}`;
  const because = serverMessage?.replace(/^\S+ "[^"]*" is (?:forbidden|invalid): /, '');
  return because ? `${code}: ${because}` : code;
}
