import { ltiKeyName } from '../api/names.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import { type Instant, minute } from '../domain/duration.ts';
import { plan } from '../domain/key-plan.ts';
import { type Cause, emptyLedger, type KeyFacts, type Ledger, type LedgerKey } from '../domain/ledger.ts';
import { withNewKey } from '../domain/key-generation.ts';
import type { KeyState } from '../domain/key-state.ts';
import type { Registration } from '../domain/registration.ts';
import type { Lifecycle } from '../domain/situation.ts';
import type { TimingLimits } from '../domain/timing.ts';
import { undisturbed } from '../domain/undisturbed.ts';
import { assumedCacheLifetime, assumedLimits } from './plan-limits.ts';

/** One step of the life of a registration's keys, as it is to be expected. */
export interface TimelineEntry {
  readonly at: Instant;
  /** Name of the LtiKey; absent for what concerns the registration. */
  readonly key?: string;
  readonly what: string;
}

interface Start {
  readonly registration: Registration;
  readonly ledger: Ledger;
  readonly now: Instant;
  /** Of the operator; the default limits if absent. */
  readonly limits?: TimingLimits;
}

const maximumSteps = 1000;

/**
 * What the operator will do and when, by its own rules (domain/key-plan.ts). It assumes that every replica serves a new key
 * at once, and that every key opens.
 */
export function timeline(start: Start, until: Instant): readonly TimelineEntry[] {
  const entries: TimelineEntry[] = [];
  let { ledger, now } = start;
  const { registration, limits = assumedLimits } = start;
  for (let step = 0; step < maximumSteps && now <= until; step += 1) {
    const lifecycle = assumed({ registration, ledger, limits, now });
    const { generate, transitions, nextCheckAt, ...planned } = plan(lifecycle);
    if (transitions.length > 0) {
      entries.push(...movesBetween(ledger, planned.ledger, now));
      ({ ledger } = planned);
    } else if (generate) {
      const revision = ledger.highestRevision + 1;
      ledger = withNewKey(lifecycle, factsOf(revision, generate.size), generate.cause);
      entries.push({
        at: now,
        key: ltiKeyName(registration.name, revision),
        what: `is created and published: ${causes[generate.cause]}`,
      });
    } else if (nextCheckAt === undefined || nextCheckAt > until) break;
    else now = Math.max(nextCheckAt, now + 1);
  }
  return entries;
}

/** The keys whose state differs between two ledgers, those that begin to sign first. */
function movesBetween(before: Ledger, after: Ledger, at: Instant): TimelineEntry[] {
  const moved = after.keys.filter(
    ({ keyID, state }) => before.keys.find((key) => key.keyID === keyID)?.state !== state,
  );
  return moved
    .toSorted((a, b) => Number(b.state === 'Active') - Number(a.state === 'Active'))
    .flatMap(({ revision, state }) => {
      const what = moves[state];
      return what === undefined ? [] : [{ at, key: ltiKeyName(after.registration, revision), what }];
    });
}

const moves: Readonly<Partial<Record<KeyState, string>>> = {
  Active: 'signs from now on',
  Retired: 'leaves the JWKS, and its private key is destroyed',
  Revoked: 'is revoked: it leaves the JWKS, and its private key is destroyed',
};

const causes: Readonly<Record<Cause, string>> = {
  Initial: 'it is the first key',
  Import: 'it is imported',
  Schedule: 'the signing key reaches rotateAfter',
  Trigger: 'rotationTrigger changed',
  Request: 'a rotation was requested',
  KeySize: 'key.size changed',
  Revocation: 'it replaces a revoked key',
};

function assumed(start: Required<Start>): Lifecycle {
  const lifecycle = undisturbed(start);
  return {
    ...lifecycle,
    observation: { ...lifecycle.observation, cacheLifetime: assumedCacheLifetime },
    fetches: { lastAt: start.now, complete: true },
  };
}

function factsOf(revision: number, size: number): KeyFacts {
  const keyID = `assumed-${revision}`;
  return {
    keyID,
    algorithm: 'RS256',
    size,
    publicJWK: { kty: 'RSA', use: 'sig', alg: 'RS256', kid: keyID, n: '', e: 'AQAB' },
  };
}

/** The ledger as far as the LtiKeys and the status show it: reading the ledger itself needs the right to read Secrets. */
export function shownLedger(registration: Registration, object: LtiRegistration, keys: readonly LtiKey[]): Ledger {
  const { status } = object;
  const rows = keys.flatMap((key) => rowOf(key, registration, object));
  return {
    ...emptyLedger(registration.namespace, registration.name),
    ...(registration.issuer === undefined ? {} : { issuer: registration.issuer }),
    serial: status?.ledgerSerial ?? 0,
    highestRevision: Math.max(0, ...rows.map(({ revision }) => revision)),
    ...(status?.activeKey ? { activeKeyID: status.activeKey.keyID } : {}),
    ...(status?.observedRotationTrigger === undefined
      ? {}
      : { observedRotationTrigger: status.observedRotationTrigger }),
    ...(status?.observedRotateRequest === undefined ? {} : { observedRotateRequest: status.observedRotateRequest }),
    deletionPolicy: registration.deletionPolicy,
    deliveries: registration.deliverySecretName === undefined ? [] : [{ secretName: registration.deliverySecretName }],
    keys: rows.toSorted((a, b) => a.revision - b.revision),
  };
}

function rowOf({ spec, status }: LtiKey, registration: Registration, object: LtiRegistration): LedgerKey[] {
  if (status?.state === undefined || status.createdAt === undefined) return [];
  const times = Object.fromEntries(
    (['publishedAt', 'activatedAt', 'retireAt', 'retiredAt', 'revokedAt'] as const).flatMap((name) =>
      status[name] === undefined ? [] : [[name, Date.parse(status[name])]],
    ),
  );
  const { revision, keyID, algorithm, size, publicJWK } = spec;
  return [
    {
      revision,
      keyID,
      algorithm,
      size,
      publicJWK,
      state: status.state,
      cause:
        status.state === 'Next' ? causeOfNext(status, registration, object.status) : causeOfOther(revision, object),
      ...(status.verifyOnly ? { verifyOnly: true } : {}),
      createdAt: Date.parse(status.createdAt),
      ...times,
      ...(status.state === 'Retiring' && status.retireAt !== undefined
        ? { stoppedSigningAt: Date.parse(status.retireAt) - registration.overlap }
        : {}),
    },
  ];
}

/** Only an imported key may be larger than `spec.key.size` asks for; of the others, the cause no longer matters. */
function causeOfOther(revision: number, { spec }: LtiRegistration): Cause {
  return revision === 1 && spec.import?.secretName !== undefined ? 'Import' : 'Schedule';
}

/** An LtiKey does not say why it was made: one that signs later than its delay asks for waits for its scheduled day. */
function causeOfNext(
  { publishedAt }: NonNullable<LtiKey['status']>,
  { activationDelay }: Registration,
  shown: LtiRegistration['status'],
): Cause {
  const { activateAfter } = shown?.nextKey ?? {};
  if (activateAfter === undefined || publishedAt === undefined) return 'Schedule';
  return Date.parse(activateAfter) > Date.parse(publishedAt) + activationDelay + minute ? 'Schedule' : 'Request';
}
