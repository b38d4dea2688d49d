import type { Instant } from './duration.ts';
import type { KeyState, PublicJwk } from './jwk.ts';
import { keyStates } from './key-state.ts';
import type { Cause, Ledger, LedgerKey, OwedCause } from './ledger.ts';

/** `ledger.json`: how a ledger is written, and how bytes from outside become one. */

const formatVersion = 1;
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
] as const;

export type LedgerFault = 'LedgerCorrupt' | 'LedgerMismatch' | 'LedgerFormatUnknown';

/** Why the bytes are no ledger of this registration; the message says what is wrong and never quotes the bytes. */
export class LedgerError extends Error {
  override readonly name = 'LedgerError';
  readonly reason: LedgerFault;

  constructor(reason: LedgerFault, message: string) {
    super(message);
    this.reason = reason;
  }
}

export function serializeLedger(ledger: Ledger): string {
  const times = (key: LedgerKey): object =>
    Object.fromEntries(instants.flatMap((name) => (key[name] === undefined ? [] : [[name, isoTime(key[name])]])));
  const keys = ledger.keys.map((key) => ({ ...key, ...times(key) }));
  return JSON.stringify({ formatVersion, ...ledger, keys }, undefined, 1);
}

/** Milliseconds are kept: a ledger read back is the ledger that was written. */
function isoTime(instant: Instant): string {
  return new Date(instant).toISOString();
}

/**
 * Narrows `ledger.json` to the ledger of `namespace/registration`, or throws a LedgerError. A format version, state or
 * cause that this release does not know was written by a newer one and is told apart from damage.
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
  if (version !== formatVersion) {
    throw unknownFormat(`ledger.json has format version ${version}, this release knows ${formatVersion}`);
  }
  const owner = `${at.string('namespace')}/${at.string('registration')}`;
  if (owner !== `${namespace}/${registration}`) {
    const whose =
      /^[a-z0-9.-]+\/[a-z0-9.-]+$/.test(owner) && owner.length <= 127 ? `registration ${owner}` : 'something else';
    throw new LedgerError('LedgerMismatch', `ledger.json belongs to ${whose}`);
  }
  const ledger: Ledger = {
    namespace,
    registration,
    serial: at.number('serial'),
    highestRevision: at.number('highestRevision'),
    ...optional('activeKeyID', at.optionalString('activeKeyID')),
    ...(at.has('rotationOwed') ? { rotationOwed: at.known('rotationOwed', owedCauses) as OwedCause } : {}),
    ...optional('observedRotationTrigger', at.optionalString('observedRotationTrigger')),
    ...optional('observedRotateRequest', at.optionalString('observedRotateRequest')),
    deletionPolicy: at.string('deletionPolicy') === 'Delete' ? 'Delete' : 'Retain',
    deliverySecretNames: at.list('deliverySecretNames').map((name) => String(name)),
    keys: at.list('keys').map((key, index) => parseKey(new Reader(key, `ledger.json keys[${index}]`))),
  };
  checkAgreement(ledger);
  return ledger;
}

function parseKey(at: Reader): LedgerKey {
  const jwk = new Reader(at.object('publicJWK'), `${at.place}.publicJWK`);
  const keyID = at.string('keyID');
  const publicJWK: PublicJwk = {
    kty: 'RSA',
    use: 'sig',
    alg: 'RS256',
    kid: jwk.string('kid'),
    n: jwk.string('n'),
    e: jwk.string('e'),
  };
  if (publicJWK.kid !== keyID) throw corrupt(`${at.place}: publicJWK.kid is not keyID`);
  const times: Partial<Record<(typeof instants)[number], Instant>> = {};
  for (const name of instants) {
    const time = at.optionalString(name);
    if (time === undefined) continue;
    times[name] = Date.parse(time);
    if (Number.isNaN(times[name])) throw corrupt(`${at.place}.${name} is not a time`);
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

function checkAgreement(ledger: Ledger): void {
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
  return new LedgerError('LedgerFormatUnknown', `${message}: it was written by a newer release of the operator`);
}

function optional<K extends string>(name: K, value: string | undefined): { [P in K]?: string } {
  return value === undefined ? {} : ({ [name]: value } as { [P in K]?: string });
}

/** Reads members of an untrusted JSON object, each with an error that names its place. */
class Reader {
  readonly place: string;
  private readonly members: Readonly<Record<string, unknown>>;

  constructor(value: unknown, place: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw corrupt(`${place} is not an object`);
    this.members = value as Record<string, unknown>;
    this.place = place;
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
