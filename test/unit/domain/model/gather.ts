import type { LtiKey, LtiRegistration } from '../../../../src/api/objects.ts';
import { day } from '../../../../src/domain/duration.ts';
import { isFinal } from '../../../../src/domain/key-state.ts';
import { keysIn, liveKeys, sealedKeys } from '../../../../src/domain/ledger.ts';
import { isShownPublished } from '../../../../src/domain/ltikeys.ts';
import type {
  KeyMaterial,
  DeliverySecret,
  Fault,
  LedgerReading,
  Observation,
  RegistrationReading,
  Situation,
} from '../../../../src/domain/situation.ts';
import { anObservation, damaged, noKek, opens } from '../../../builders/situation.ts';
import { cacheLifetime, limits, readableLedger, type World } from './world.ts';

/** What controller/gather.ts reads of a world. */

const corrupt: Fault = { reason: 'LedgerCorrupt', message: 'ledger.json is not JSON' };
const taken: DeliverySecret = {
  kind: 'foreign',
  fault: { reason: 'DeliverySecretConflict', message: 'the Secret belongs to another owner' },
};
const unread = {
  kind: 'unreadable',
  fault: { reason: 'DeliverySecretUnreadable', message: 'no answer' },
} as const satisfies DeliverySecret;
const absent: DeliverySecret = { kind: 'absent' };

/** `undefined` if there is no such Secret. */
export function gather(world: World): Situation | undefined {
  const { object, registration, keys, generating, pair, kekMissing, clockAhead, real } = world;
  const { lastFetch, fetchReported } = world;
  const ledger = readLedger(world);
  if (!object && ledger.kind === 'absent' && keys.size === 0) return undefined;
  return {
    namespace: registration.namespace,
    name: registration.name,
    registration: readRegistration(world),
    ledger,
    ltiKeys: [...keys.values()],
    keyMaterial: readCustody(world),
    observation: object ? observe(world, object) : nothingObserved,
    deliveries: readDeliveries(world),
    ...(pair ? { pair: { facts: pair, kekID: 'kek-1' } } : {}),
    ...(generating === undefined ? {} : { generating: true }),
    ...(kekMissing ? { sealingFault: noKek } : { sealingKekID: 'kek-1' }),
    shared: new Map(),
    refused: new Map(),
    fetches: { complete: true, ...(fetchReported && lastFetch !== undefined ? { lastAt: lastFetch } : {}) },
    clockSkew: clockAhead,
    limits,
    now: real,
  };
}

function readRegistration({ object, registration, seen, appliedAt, definition }: World): RegistrationReading {
  if (object) return { kind: 'present', object, registration };
  return { kind: 'gone', definition, ...(seen ? { last: registration, lastCreatedAt: appliedAt } : {}) };
}

function readLedger(world: World): LedgerReading {
  const ledger = readableLedger(world);
  if (ledger) return { kind: 'present', ledger };
  if (world.ledgerFault === 'corrupt') return { kind: 'faulty', fault: corrupt };
  const trace = traceOf(world);
  if (trace === undefined && world.unreadable && world.object && world.registration.deliverySecretName !== undefined)
    return { kind: 'faulty', fault: unread.fault };
  return { kind: 'absent', ...(trace === undefined ? {} : { trace }) };
}

/** The evidence that there was a ledger. */
export function traceOf({ object, registration, keys, secrets, unreadable }: World): string | undefined {
  if (!object) return undefined;
  if (object.status?.activeKey || (object.status?.ledgerSerial ?? 0) > 0) return 'its status names them';
  if ([...keys.values()].some(isLoss)) return 'there are LtiKeys';
  const { deliverySecretName } = registration;
  if (unreadable) return undefined;
  return deliverySecretName !== undefined && secrets.has(deliverySecretName) ? 'there is a delivery Secret' : undefined;
}

function isLoss({ status }: LtiKey): boolean {
  return status?.state === undefined || !isFinal(status.state);
}

function readCustody(world: World): ReadonlyMap<string, KeyMaterial> {
  const ledger = readableLedger(world);
  if (!ledger) return new Map();
  return new Map(sealedKeys(ledger).map(({ keyID }) => [keyID, keyMaterialOf(world, keyID)]));
}

export function keyMaterialOf({ kekMissing, damagedKeyID }: World, keyID: string): KeyMaterial {
  return kekMissing ? noKek : keyID === damagedKeyID ? damaged : opens;
}

const nothingObserved = anObservation([], { detail: 'it was not published yet' });

function observe(world: World, object: LtiRegistration): Observation {
  const { keys, replicas, real } = world;
  const ledger = readableLedger(world);
  const published = new Set([...keys.values()].filter(isShownPublished).map(({ spec }) => spec.keyID));
  const present = (ledger ? liveKeys(ledger) : []).map(({ keyID }) => keyID).filter((keyID) => published.has(keyID));
  const wanted = object.spec.revokedKeyIDs ?? [];
  const withdrawn = ledger
    ? keysIn(ledger, 'Revoked')
        .filter(({ absentAt, revokedAt }) => absentAt === undefined || (revokedAt ?? 0) > real - day)
        .map(({ keyID }) => keyID)
    : [...keys.values()].map(({ spec }) => spec.keyID).filter((keyID) => wanted.includes(keyID));
  const gone = withdrawn.filter((keyID) => !published.has(keyID));
  if (present.length + gone.length === 0) return nothingObserved;
  const serving = gone.filter((keyID) => replicas.some(({ serves, answers }) => !answers || serves.has(keyID)));
  const lacking = (keyID: string): boolean => replicas.some(({ serves, answers }) => answers && !serves.has(keyID));
  return {
    servedKeyIDs: new Set(
      present.filter((keyID) => replicas.every(({ serves, answers }) => answers && serves.has(keyID))),
    ),
    missingKeyIDs: new Set(present.filter(lacking)),
    stillServed: new Map(serving.map((keyID) => [keyID, 'a replica'])),
    absentKeyIDs: new Set(gone.filter((keyID) => !serving.includes(keyID))),
    detail: '',
    cacheLifetime,
  };
}

/** The configured Secret, and those on record if the ledger can be read. */
function readDeliveries(world: World): ReadonlyMap<string, DeliverySecret> {
  const { object, registration, secrets, taken: others, unreadable } = world;
  const names = new Set((readableLedger(world)?.deliveries ?? []).map(({ secretName }) => secretName));
  if (object && registration.deliverySecretName !== undefined) names.add(registration.deliverySecretName);
  const read = (name: string): DeliverySecret => (others.has(name) ? taken : (secrets.get(name) ?? absent));
  return new Map([...names].map((name) => [name, unreadable ? unread : read(name)]));
}
