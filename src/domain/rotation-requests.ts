import type { Cause, Ledger } from './ledger.ts';
import type { Lifecycle } from './situation.ts';

/** Requests for a rotation: `spec.rotationTrigger` and the annotation `ltikeys.dev/rotate-requested-at`. */

/** The cause of a rotation that was requested and not answered yet. */
export function requestedCause({ registration, ledger }: Lifecycle): Cause | undefined {
  const { rotationTrigger, rotateRequest } = registration;
  if (rotationTrigger !== undefined && rotationTrigger !== ledger.observedRotationTrigger) return 'Trigger';
  if (rotateRequest !== undefined && rotateRequest !== ledger.observedRotateRequest) return 'Request';
  return undefined;
}

/** The ledger that records the registration's present trigger and rotate request as answered. */
export function answered({ registration }: Lifecycle, ledger: Ledger): Ledger {
  return {
    ...ledger,
    ...(registration.rotationTrigger === undefined ? {} : { observedRotationTrigger: registration.rotationTrigger }),
    ...(registration.rotateRequest === undefined ? {} : { observedRotateRequest: registration.rotateRequest }),
  };
}
