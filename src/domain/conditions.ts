import type { RegistrationConditionType } from '../api/conditions.ts';
import { ltiKeyName } from '../api/names.ts';
import { formatDuration, formatInstant, type Instant } from './duration.ts';
import { awaitsFetch, fetchVerdict, isFetchedWithout, isHeldForFetch } from './fetches.ts';
import type { DeliverySummary } from './delivery.ts';
import type { Plan } from './key-plan.ts';
import { activeKey, keysIn, type Ledger, type LedgerKey, liveKeys, nextKey } from './ledger.ts';
import { registeredVerdict } from './platform-registration.ts';
import { revocationVerdict, stillServedVerdict } from './platforms.ts';
import { awaitsAcknowledgement, clockFault, isClockSkewed, keyMaterialFault } from './preconditions.ts';
import type { Registration } from './registration.ts';
import type { Fault, Lifecycle, Situation } from './situation.ts';
import { activationTime, revocationGrace, timingFault, windowFault } from './timing.ts';
import { faultVerdict, type Verdict } from './verdict.ts';

/** The conditions of a registration with a readable ledger. */

/** The facts that determine the status of a registration with a readable ledger. */
export interface Outcome {
  readonly lifecycle: Lifecycle;
  /** Its `ledger` is the one that the LtiKeys show. */
  readonly plan: Plan;
  readonly deliveryFault?: Fault;
  readonly deliveries: DeliverySummary;
  /** Why a revoked key cannot leave the documents. */
  readonly stillPublished?: Fault;
  /** Why a write was refused: see {@link refusalFault}. */
  readonly refusal?: Fault;
  /** Entries of spec.revokedKeyIDs that match no key, by index. */
  readonly unknownRevoked: readonly number[];
  /** Key ID → other registrations of the namespace that use the same key. */
  readonly shared: ReadonlyMap<string, readonly string[]>;
  readonly jwksURL?: string;
}

export type RegistrationVerdicts = Partial<Record<RegistrationConditionType, Verdict>>;

export function registrationVerdicts(outcome: Outcome): RegistrationVerdicts {
  const { lifecycle, plan } = outcome;
  const active = activeKey(plan.ledger);
  const ready = outcome.stillPublished ? faultVerdict(outcome.stillPublished) : readyVerdict(outcome, active);
  const stalled = stallOf(outcome);
  const revocation = withDelivered(outcome.stillPublished ? ready : revocationOf(outcome), outcome.deliveries);
  return {
    Ready: ready,
    Published: publishedVerdict(lifecycle, active),
    KeyMaterialAvailable: materialVerdict(outcome),
    Registered: registeredVerdict(lifecycle.registration, outcome.jwksURL),
    ActionRequired: actionVerdict(outcome),
    ...(revocation ? { RevocationEffective: revocation } : {}),
    Reconciling: reconcilingVerdict(outcome, ready, stalled),
    Stalled: stalled
      ? faultVerdict(stalled, 'True')
      : { status: 'False', reason: 'NotStalled', message: 'nothing blocks rotation' },
  };
}

const noSigningKey: Verdict = {
  status: 'False',
  reason: 'NoSigningKey',
  message: 'the registration has no signing key',
};

function readyVerdict({ lifecycle, deliveryFault }: Outcome, active: LedgerKey | undefined): Verdict {
  const { registration, delivery } = lifecycle;
  const published = publishedVerdict(lifecycle, active);
  if (!active || published.status !== 'True') return published;
  if (registration.revokedKeyIDs.has(active.keyID)) {
    const message = `key ${active.keyID} signs and is being revoked`;
    return { status: 'False', reason: 'RevokedKeyStillServed', message };
  }
  if (deliveryFault) return faultVerdict(deliveryFault);
  if (registration.deliverySecretName !== undefined && delivery.keyID !== active.keyID) {
    const message = `delivery Secret ${registration.deliverySecretName} does not hold signing key ${active.keyID} yet`;
    return { status: 'False', reason: 'DeliveryPending', message };
  }
  const message = `key ${active.keyID} signs, and every ready replica serves it`;
  return { status: 'True', reason: 'SigningKeyReady', message };
}

function publishedVerdict(lifecycle: Lifecycle, active: LedgerKey | undefined): Verdict {
  if (!active) return noSigningKey;
  return lifecycle.observation.servedKeyIDs.has(active.keyID)
    ? { status: 'True', reason: 'ServedByAllReplicas', message: 'every ready replica serves the signing key' }
    : { status: 'False', reason: 'NotServedByAllReplicas', message: notServed(lifecycle, active) };
}

function notServed({ observation }: Lifecycle, key: LedgerKey): string {
  return `key ${key.keyID} is not served by every ready replica${observation.detail ? `: ${observation.detail}` : ''}`;
}

function materialVerdict({ lifecycle, plan }: Outcome): Verdict {
  const fault = keyMaterialFault(lifecycle, liveKeys(plan.ledger)) ?? lifecycle.sealingFault;
  if (fault) return faultVerdict(fault);
  const message = 'every sealed private key can be decrypted and matches its public key';
  return { status: 'True', reason: 'KeysDecryptable', message };
}

function actionVerdict({ lifecycle, plan: { ledger }, unknownRevoked, jwksURL }: Outcome): Verdict {
  const key = nextKey(ledger) ?? activeKey(ledger);
  if (!key || !awaitsAcknowledgement(lifecycle, key)) {
    const warning = fetchVerdict({ ...lifecycle, ledger }, jwksURL);
    return unknownRevoked.length === 0 && warning ? warning : revokedIDsVerdict(unknownRevoked);
  }
  const name = ltiKeyName(ledger.registration, key.revision);
  const message = `paste the public key of LtiKey ${name} at the platform (kubectl get ltikey ${name} -n ${ledger.namespace} -o jsonpath='{.spec.publicJWK}'), then set spec.acknowledgedKeyID to ${key.keyID}`;
  return { status: 'True', reason: 'AcknowledgementRequired', message };
}

/** The entries of spec.revokedKeyIDs that match no key of the ledger and no LtiKey, by index. */
export function unknownRevokedEntries(
  { ltiKeys }: Situation,
  registration: Registration,
  ledger: Ledger,
): readonly number[] {
  if (ledger.highestRevision === 0) return [];
  const known = new Set([...ledger.keys, ...ltiKeys.map(({ spec }) => spec)].map(({ keyID }) => keyID));
  return unknownEntries(registration.revokedKeyIDs, known);
}

/** The entries of spec.revokedKeyIDs that match no key, by index. A typing error in an emergency must not look like a revocation. */
export function unknownEntries(keyIDs: Iterable<string>, known: ReadonlySet<string>): readonly number[] {
  return [...keyIDs].flatMap((keyID, index) => (known.has(keyID) ? [] : [index]));
}

export function revokedIDsVerdict(unknown: readonly number[], isLedgerKnown = true): Verdict {
  if (unknown.length === 0) return { status: 'False', reason: 'NoActionRequired', message: 'no action is required' };
  const fields = unknown.map((index) => `spec.revokedKeyIDs[${index}]`).join(', ');
  const copy = 'Copy the key ID from the KEY ID column of kubectl get ltikeys';
  // The LtiKey of a revoked key is deleted if its state cannot be written.
  const message = isLedgerKnown
    ? `${fields}: the registration has no such key, so the entry revokes nothing. ${copy}, or remove the entry`
    : `${fields}: there is no LtiKey with this key ID, and the ledger, which may have the key, cannot be used. ${copy}, or leave the entry if you are sure of it`;
  return { status: 'True', reason: 'UnknownRevokedKeyID', message };
}

const revocationProgress = ['RevokedKeyStillServed', 'RevocationPending', 'RevocationEffective'];

/** Of several revoked keys, the one whose revocation has progressed least. */
function revocationOf({ lifecycle, plan, shared }: Outcome): Verdict | undefined {
  const { observation, registration, fetches, now } = lifecycle;
  const { platform, acknowledgedRevocations } = registration;
  const { cacheLifetime } = observation;
  const leaving = liveKeys(plan.ledger).find(({ keyID }) => registration.revokedKeyIDs.has(keyID));
  if (leaving) {
    const grace = formatDuration(revocationGrace);
    return stillServedVerdict(leaving.keyID, `it leaves once another key can sign, at the latest after ${grace}`);
  }
  return keysIn(plan.ledger, 'Revoked')
    .toSorted((a, b) => (b.revokedAt ?? 0) - (a.revokedAt ?? 0))
    .map((key): Verdict => {
      const { keyID, absentAt } = key;
      const stillServed = observation.stillServed.get(keyID);
      const fetchedAt = isFetchedWithout(fetches, key) ? fetches.lastAt : undefined;
      const isAcknowledged = acknowledgedRevocations.has(keyID);
      const seen = { absentAt, cacheLifetime, stillServed, fetchedAt, isAcknowledged, now };
      const verdict = revocationVerdict({ platform, keyID, ...seen });
      const others = shared.get(keyID) ?? [];
      if (others.length === 0) return verdict;
      const also = `; the same key is in use by ${others.map((name) => `registration ${name}`).join(', ')}: revoke it there as well`;
      return { ...verdict, message: verdict.message + also };
    })
    .toSorted((a, b) => revocationProgress.indexOf(a.reason) - revocationProgress.indexOf(b.reason))[0];
}

/** Adds a delivery Secret that has a revoked key; one that is still served is more severe. */
export function withDelivered(verdict: Verdict | undefined, { revoked }: DeliverySummary): Verdict | undefined {
  if (revoked === undefined) return verdict;
  if (verdict?.reason !== 'RevokedKeyStillServed') {
    return { status: 'False', reason: 'RevokedKeyDelivered', message: revoked };
  }
  return { ...verdict, message: `${verdict.message}; ${revoked}` };
}

function reconcilingVerdict({ lifecycle, plan }: Outcome, ready: Verdict, stalled: Fault | undefined): Verdict {
  const { registration, now } = lifecycle;
  const { ledger, generate } = plan;
  if (stalled) return { status: 'False', reason: stalled.reason, message: 'blocked; see the Stalled condition' };
  if (generate) {
    const message = `generating a key pair of ${generate.size} bits (${generate.cause})`;
    return { status: 'True', reason: 'GeneratingKey', message };
  }
  const awaited = liveKeys(ledger).find((key) => key.publishedAt === undefined);
  if (awaited) return { status: 'True', reason: 'WaitingForPublication', message: notServed(lifecycle, awaited) };
  if (ready.status !== 'True') return { ...ready, status: 'True' };
  if (registration.suspend) {
    const message = 'spec.suspend is true: no rotation starts and no key retires';
    return { status: 'False', reason: 'Suspended', message };
  }
  const active = activeKey(ledger);
  const next = nextKey(ledger);
  const from = active && next && activationTime(next, active, registration, now);
  if (from === undefined) return { status: 'False', reason: 'UpToDate', message: 'no operation in progress' };
  return { status: 'False', reason: 'WaitingForActivation', message: activationText({ ...lifecycle, ledger }, from) };
}

function activationText(lifecycle: Lifecycle, from: Instant): string {
  const next = nextKey(lifecycle.ledger)!;
  const published = `key ${next.keyID} is published`;
  if (isHeldForFetch(lifecycle)) return `${published} and due, and waits for a fetch; see the ActionRequired condition`;
  const fetched = awaitsFetch(lifecycle, next) ? ', but not before a client has fetched it' : '';
  return `${published} and will sign from ${formatInstant(from)}${fetched}`;
}

/** The most severe fault that persists until something outside the operator changes. */
function stallOf({ lifecycle, plan, deliveryFault, refusal }: Outcome): Fault | undefined {
  const { registration, limits, observation, clockSkew, now } = lifecycle;
  return (
    refusal ??
    (isClockSkewed(lifecycle) ? clockFault(clockSkew) : undefined) ??
    plan.generationFault ??
    keyMaterialFault(lifecycle, liveKeys(plan.ledger)) ??
    deliveryFault ??
    timingFault(registration, limits, observation.cacheLifetime) ??
    windowFault(registration.rotationWindows, now)
  );
}
