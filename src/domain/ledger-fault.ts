import { ledgerSecretName } from '../api/names.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import type { Ledger } from './ledger.ts';
import { type Fault, isFault, type Present, type Situation } from './situation.ts';

/** Why the ledger cannot be used. */
export function ledgerFault(situation: Situation, { object, registration }: Present): Fault | undefined {
  const { ledger, namespace, name, ltiKeys } = situation;
  switch (ledger.kind) {
    case 'faulty':
      return ledger.fault;
    case 'absent':
      return ledger.trace === undefined ? undefined : missingLedger(namespace, name, ledger.trace);
    default:
      return (
        rolledBack(ledger.ledger, ltiKeys, object.status?.ledgerSerial) ??
        (isFault(registration) ? undefined : otherIssuer(ledger.ledger, registration.issuer))
      );
  }
}

export function missingLedger(namespace: string, name: string, trace: string): Fault {
  const message = `ledger Secret ${namespace}/${ledgerSecretName(name)} does not exist, but the registration has keys (${trace}). Restore the Secret from a backup: the operator never replaces lost keys. To abandon the keys instead, see docs/recovery.md`;
  return { reason: 'LedgerMissing', message };
}

/** Whether the ledger has every key of the registration, although the spec may not be usable with it. */
export function isCurrent(ledger: Ledger, ltiKeys: readonly LtiKey[], { status }: LtiRegistration): boolean {
  return rolledBack(ledger, ltiKeys, status?.ledgerSerial) === undefined;
}

/** A ledger that is older than its LtiKeys or the status was restored from a backup, and lacks what happened since. */
export function rolledBack(ledger: Ledger, ltiKeys: readonly LtiKey[], status: number | undefined): Fault | undefined {
  const seen = Math.max(status ?? 0, ...ltiKeys.map((key) => key.status?.ledgerSerial ?? 0));
  if (ledger.serial >= seen) return undefined;
  const message = `${nameOf(ledger)} has serial ${ledger.serial}, but the operator already acted on serial ${seen}: an older copy was restored over it. Restore the newest copy. To continue with an older one, see docs/recovery.md`;
  return { reason: 'LedgerRolledBack', message };
}

/** A registration without an issuer does not get the keys of a known issuer either: its user may be about to register it at another platform. */
function otherIssuer(ledger: Ledger, issuer: string | undefined): Fault | undefined {
  if (ledger.issuer === undefined || ledger.issuer === issuer) return undefined;
  if (issuer === undefined) {
    const message = `${nameOf(ledger)} holds the keys of issuer ${ledger.issuer}, but spec.issuer is not set. Set it to this issuer to continue with these keys. For another platform, use another metadata.name, or remove the keys of the former registration: see docs/recovery.md`;
    return { reason: 'IssuerChanged', message };
  }
  const message = `${nameOf(ledger)} holds the keys of issuer ${ledger.issuer}, which must not be shared with issuer ${issuer}. Use another metadata.name, or remove the keys of the former registration: see docs/recovery.md`;
  return { reason: 'IssuerChanged', message };
}

function nameOf({ namespace, registration }: Ledger): string {
  return `ledger Secret ${namespace}/${ledgerSecretName(registration)}`;
}
