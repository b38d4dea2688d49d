import type { Refusal, RefusalKind } from '../domain/situation.ts';
import { type ApiError, isHeldByFinalizers, isRefusedWrite, TransportError } from '../kube/errors.ts';
import { refusalText } from './failed-requests.ts';

/** Describes a write that failed, for the situation, reports and conditions. */
export function refusalOf(
  error: ApiError | TransportError,
  { verb, object }: Pick<Refusal, 'verb' | 'object'>,
): Refusal {
  return { kind: kindOf(error), verb, object, because: refusalText(error) };
}

function kindOf(error: ApiError | TransportError): RefusalKind {
  if (error instanceof TransportError) return 'Unanswered';
  if (error.status === 401) return 'Unauthenticated';
  if (error.status === 409) return 'Contended';
  if (isHeldByFinalizers(error)) return 'Held';
  return isRefusedWrite(error) ? 'Refused' : 'Overloaded';
}
