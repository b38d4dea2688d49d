import { isJsonObject } from '../lib/json-object.ts';
import type { Instant } from './duration.ts';
import { type KeyState, keyStates } from './key-state.ts';
import { narrowPublicJwk } from './public-jwk.ts';
import type { Cause, Delivery, Ledger, LedgerKey, OwedCause } from './ledger.ts';
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

export type LedgerFault = 'LedgerCorrupt' | 'LedgerMismatch' | 'LedgerFormatUnknown';

/** Why the text is not a ledger of this registration. The message never quotes the text. */
export class LedgerError extends Error {
  override readonly name = 'LedgerError';
  readonly reason: LedgerFault;

  constructor(reason: LedgerFault, message: string) {
    super(message);
    this.reason = reason;
  }
}

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

/** Milliseconds are kept: a ledger read back is the ledger that was written. */
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
  const at = new Reader(value, 'ledger.json');
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
    keys: at.list('keys').map((key, index) => parseKey(new Reader(key, `ledger.json keys[${index}]`))),
  };
  checkConsistency(ledger);
  return ledger;
}

function formerDeliveries(at: Reader): readonly Delivery[] {
  return at.list('deliverySecretNames').map((name) => {
    if (typeof name !== 'string') throw corrupt(`${at.place}: an entry of deliverySecretNames is not a string`);
    return { secretName: name };
  });
}

function parseDelivery(value: unknown, index: number): Delivery {
  const at = new Reader(value, `ledger.json deliveries[${index}]`);
  at.only(['secretName', 'leftAt']);
  const leftAt = at.optionalInstant('leftAt');
  return { secretName: at.string('secretName'), ...(leftAt === undefined ? {} : { leftAt }) };
}

function parseKey(at: Reader): LedgerKey {
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

function corrupt(message: string): LedgerError {
  return new LedgerError('LedgerCorrupt', message);
}

function unknownFormat(message: string): LedgerError {
  return new LedgerError('LedgerFormatUnknown', `${message}: a newer release of the operator wrote it`);
}

function optional<K extends string>(name: K, value: string | undefined): { [P in K]?: string } {
  return value === undefined ? {} : ({ [name]: value } as { [P in K]?: string });
}

/** Reads the members of an untrusted JSON object; each error names the place. */
class Reader {
  readonly place: string;
  private readonly members: Readonly<Record<string, unknown>>;

  constructor(value: unknown, place: string) {
    if (!isJsonObject(value)) throw corrupt(`${place} is not an object`);
    this.members = value;
    this.place = place;
  }

  /** Rejects members that this release does not know: the next write would drop what a newer release keeps there. */
  only(known: readonly string[]): void {
    const unknown = Object.keys(this.members).filter((name) => !known.includes(name));
    if (unknown.length > 0) throw unknownFormat(`${this.place} has ${unknown.length} unknown members`);
  }

  has(name: string): boolean {
    return this.members[name] !== undefined;
  }

  number(name: string): number {
    const value = this.members[name];
    if (!Number.isSafeInteger(value) || (value as number) < 0)
      throw corrupt(`${this.place}: ${name} is not a whole number`);
    return value as number;
  }

  string(name: string): string {
    const value = this.members[name];
    if (typeof value !== 'string') throw corrupt(`${this.place}: ${name} is not a string`);
    return value;
  }

  optionalString(name: string): string | undefined {
    return this.has(name) ? this.string(name) : undefined;
  }

  optionalInstant(name: string): Instant | undefined {
    const text = this.optionalString(name);
    if (text === undefined) return undefined;
    const instant = Date.parse(text);
    if (Number.isNaN(instant)) throw corrupt(`${this.place}.${name} is not a time`);
    return instant;
  }

  flag(name: string): boolean {
    const value = this.members[name];
    if (value !== undefined && value !== true) throw corrupt(`${this.place}: ${name} is not true`);
    return value === true;
  }

  known(name: string, values: readonly string[]): string {
    const value = this.string(name);
    if (!values.includes(value)) throw unknownFormat(`${this.place}: ${name} is none of ${values.join(', ')}`);
    return value;
  }

  list(name: string): readonly unknown[] {
    const value = this.members[name];
    if (!Array.isArray(value)) throw corrupt(`${this.place}: ${name} is not a list`);
    return value;
  }

  object(name: string): unknown {
    return this.members[name];
  }
}

/**
 * Key IDs of former systems may be a number, a UUID, base64 with `+/=` or a URL. The schema of LtiKeys has the same rule, so that
 * an LtiKey can show every key ID in a ledger. No spaces or invisible characters, so that IDs that look the same are the same.
 */
const printable = /^[!-~]{1,256}$/;

export function isKeyID(value: unknown): value is string {
  return typeof value === 'string' && printable.test(value);
}
