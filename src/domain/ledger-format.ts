import type { Instant } from './duration.ts';
import { type KeyState, keyStates } from './key-state.ts';
import { narrowPublicJwk } from './public-jwk.ts';
import type { Cause, Delivery, Ledger, LedgerKey, OwedCause } from './ledger.ts';
import { corrupt, LedgerError, MemberReader, unknownFormat } from './member-reader.ts';
import { storableRequest } from './registration.ts';

/** `ledger.json`: how a ledger is serialized and parsed. */

/** Version 1 has no issuer, and only the names of the delivery Secrets. Both versions are read, version 2 is written. */
const formatVersion = 2;
const ledgerMembers = [
  'formatVersion',
  'namespace',
  'registration',
  'issuer',
  'serial',
  'highestRevision',
  'activeKeyID',
  'rotationOwed',
  'observedRotationTrigger',
  'observedRotateRequest',
  'deletionPolicy',
  'deliveries',
  'keys',
];
const causes: readonly string[] = [
  'Initial',
  'Import',
  'Schedule',
  'Trigger',
  'Request',
  'KeySize',
  'Revocation',
] satisfies Cause[];
const owedCauses: readonly string[] = ['Trigger', 'Request', 'Revocation'] satisfies OwedCause[];
const instants = [
  'createdAt',
  'publishedAt',
  'activatedAt',
  'stoppedSigningAt',
  'retireAt',
  'retiredAt',
  'revocationSeenAt',
  'revokedAt',
  'absentAt',
] as const;
const keyMembers = ['revision', 'keyID', 'algorithm', 'size', 'publicJWK', 'state', 'cause', 'verifyOnly', ...instants];

/** Deterministic: the order in which members were recorded does not matter. */
export function serializeLedger(ledger: Ledger): string {
  const times = (key: LedgerKey): object =>
    Object.fromEntries(instants.flatMap((name) => (key[name] === undefined ? [] : [[name, isoTime(key[name])]])));
  const keys = ledger.keys.map((key) => inOrder({ ...key, ...times(key) }, keyMembers));
  const deliveries = ledger.deliveries.map(({ secretName, leftAt }) => ({
    secretName,
    ...(leftAt === undefined ? {} : { leftAt: isoTime(leftAt) }),
  }));
  return JSON.stringify(inOrder({ formatVersion, ...ledger, deliveries, keys }, ledgerMembers), undefined, 1);
}

function inOrder(object: object, members: readonly string[]): object {
  const values = new Map<string, unknown>(Object.entries(object));
  return Object.fromEntries(members.map((member) => [member, values.get(member)]));
}

/** Keeps milliseconds, so that a ledger that is read equals the one that was written. */
function isoTime(instant: Instant): string {
  return new Date(instant).toISOString();
}

/**
 * Parses `ledger.json` of `namespace/registration`; throws a LedgerError. A format version, member, state or cause that this
 * release does not know was written by a newer one: it is distinguished from damage and never dropped.
 */
export function parseLedger(text: string | undefined, namespace: string, registration: string): Ledger {
  if (text === undefined) throw corrupt('the entry ledger.json is missing');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw corrupt('ledger.json is not JSON; it may have been truncated');
  }
  const at = new MemberReader(value, 'ledger.json');
  const version = at.number('formatVersion');
  if (version !== 1 && version !== formatVersion) {
    throw unknownFormat(`ledger.json has format version ${version}, but this release reads 1 and ${formatVersion}`);
  }
  at.only(version === 1 ? [...ledgerMembers, 'deliverySecretNames'] : ledgerMembers);
  const owner = `${at.string('namespace')}/${at.string('registration')}`;
  if (owner !== `${namespace}/${registration}`) {
    const whose =
      /^[a-z0-9.-]+\/[a-z0-9.-]+$/.test(owner) && owner.length <= 127 ? `registration ${owner}` : 'something else';
    throw new LedgerError('LedgerMismatch', `ledger.json belongs to ${whose}`);
  }
  // An earlier release may have recorded a request that does not fit into a status.
  const request = at.optionalString('observedRotateRequest');
  const ledger: Ledger = {
    namespace,
    registration,
    ...optional('issuer', at.optionalString('issuer')),
    serial: at.number('serial'),
    highestRevision: at.number('highestRevision'),
    ...optional('activeKeyID', at.optionalString('activeKeyID')),
    ...(at.has('rotationOwed') ? { rotationOwed: at.known('rotationOwed', owedCauses) as OwedCause } : {}),
    ...optional('observedRotationTrigger', at.optionalString('observedRotationTrigger')),
    ...optional('observedRotateRequest', request === undefined ? undefined : storableRequest(request)),
    deletionPolicy: at.known('deletionPolicy', ['Retain', 'Delete']) as 'Retain' | 'Delete',
    deliveries: version === 1 ? formerDeliveries(at) : at.list('deliveries').map(parseDelivery),
    keys: at.list('keys').map((key, index) => parseKey(new MemberReader(key, `ledger.json keys[${index}]`))),
  };
  checkConsistency(ledger);
  return ledger;
}

function formerDeliveries(at: MemberReader): readonly Delivery[] {
  return at.list('deliverySecretNames').map((name) => {
    if (typeof name !== 'string') throw corrupt(`${at.place}: an entry of deliverySecretNames is not a string`);
    return { secretName: name };
  });
}

function parseDelivery(value: unknown, index: number): Delivery {
  const at = new MemberReader(value, `ledger.json deliveries[${index}]`);
  at.only(['secretName', 'leftAt']);
  const leftAt = at.optionalInstant('leftAt');
  return { secretName: at.string('secretName'), ...(leftAt === undefined ? {} : { leftAt }) };
}

function parseKey(at: MemberReader): LedgerKey {
  at.only(keyMembers);
  const keyID = at.string('keyID');
  const publicJWK = narrowPublicJwk(at.object('publicJWK'));
  if (typeof publicJWK === 'string') throw corrupt(`${at.place}: publicJWK ${publicJWK}`);
  if (publicJWK.kid !== keyID) throw corrupt(`${at.place}: publicJWK.kid is not keyID`);
  const times: Partial<Record<(typeof instants)[number], Instant>> = {};
  for (const name of instants) {
    const time = at.optionalInstant(name);
    if (time !== undefined) times[name] = time;
  }
  if (times.createdAt === undefined) throw corrupt(`${at.place}.createdAt is missing`);
  return {
    revision: at.number('revision'),
    keyID,
    algorithm: at.known('algorithm', ['RS256']) as 'RS256',
    size: at.number('size'),
    publicJWK,
    state: at.known('state', keyStates) as KeyState,
    cause: at.known('cause', causes) as Cause,
    ...(at.flag('verifyOnly') ? { verifyOnly: true } : {}),
    ...times,
    createdAt: times.createdAt,
  };
}

function checkConsistency(ledger: Ledger): void {
  const active = ledger.keys.filter((key) => key.state === 'Active');
  if (active.length > 1) throw corrupt('ledger.json has more than one Active key');
  if (active[0]?.keyID !== ledger.activeKeyID) throw corrupt('activeKeyID of ledger.json names no Active key');
  if (ledger.keys.filter((key) => key.state === 'Next').length > 1)
    throw corrupt('ledger.json has more than one Next key');
  if (new Set(ledger.keys.map((key) => key.keyID)).size < ledger.keys.length)
    throw corrupt('ledger.json has two keys with one key ID');
  const revisions = ledger.keys.map((key) => key.revision);
  const ordered = revisions.every((revision, index) => index === 0 || revision > revisions[index - 1]!);
  if (!ordered || (revisions.at(-1) ?? 0) > ledger.highestRevision)
    throw corrupt('ledger.json revisions are out of order');
}

function optional<K extends string>(name: K, value: string | undefined): { [P in K]?: string } {
  return value === undefined ? {} : ({ [name]: value } as { [P in K]?: string });
}
