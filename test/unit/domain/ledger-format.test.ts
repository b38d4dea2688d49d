import { expect } from 'chai';
import { parseLedger, serializeLedger } from '../../../src/domain/ledger-format.ts';
import { LedgerError } from '../../../src/domain/member-reader.ts';
import type { Ledger } from '../../../src/domain/ledger.ts';
import { aKey, aLedger, epoch } from '../../builders/ledger.ts';

const full: Ledger = aLedger(
  [
    aKey(1, 'Revoked', { revocationSeenAt: epoch + 1, revokedAt: epoch + 2 }),
    aKey(2, 'Retired', { cause: 'Trigger', publishedAt: epoch, retireAt: epoch + 3, retiredAt: epoch + 4 }),
    aKey(3, 'Retiring', { cause: 'Request', stoppedSigningAt: epoch + 5, retireAt: epoch + 6 }),
    aKey(4, 'Active', { cause: 'KeySize', size: 4096, activatedAt: epoch + 7 }),
    aKey(5, 'Next', { cause: 'Revocation', publishedAt: epoch + 8 }),
  ],
  {
    highestRevision: 6,
    rotationOwed: 'Trigger',
    observedRotationTrigger: 'staff change',
    observedRotateRequest: '2026-03-01',
    deletionPolicy: 'Delete',
    deliveries: [{ secretName: 'old', leftAt: epoch + 9 }, { secretName: 'new' }],
  },
);

type Json = Record<string, unknown>;
type Rows = { keys: [Json, Json, Json, Json, Json] };
const stored = (): Json & Rows => JSON.parse(serializeLedger(full)) as Json & Rows;

function read(text: string | undefined): LedgerError {
  try {
    parseLedger(text, 'gradebook', 'canvas');
  } catch (error) {
    if (error instanceof LedgerError) return error;
    throw error;
  }
  throw new Error('it was read');
}

function damaged(damage: (ledger: Json & Rows) => void): LedgerError {
  const ledger = stored();
  damage(ledger);
  return read(JSON.stringify(ledger));
}

describe('ledger.json', () => {
  it('ledger.json is parsed to the ledger that was written, to the millisecond', () => {
    expect(parseLedger(serializeLedger(full), 'gradebook', 'canvas')).to.deep.equal(full);
  });

  it('ledger.json has its members in one order, whatever was recorded last', () => {
    const { deletionPolicy, keys, ...rest } = full;
    const shuffled = { keys: keys.map(({ state, ...key }) => ({ ...key, state })), deletionPolicy, ...rest };
    expect(serializeLedger(shuffled)).to.equal(serializeLedger(full));
    expect(serializeLedger(parseLedger(serializeLedger(shuffled), 'gradebook', 'canvas'))).to.equal(
      serializeLedger(full),
    );
  });

  it('ledger.json may have no keys', () => {
    const empty = aLedger([]);
    expect(parseLedger(serializeLedger(empty), 'gradebook', 'canvas')).to.deep.equal(empty);
  });

  it('ledger.json may have a public key of a former system', () => {
    const imported = aLedger([aKey(1, 'Retiring', { cause: 'Import', verifyOnly: true, retireAt: epoch })]);
    expect(parseLedger(serializeLedger(imported), 'gradebook', 'canvas')).to.deep.equal(imported);
  });

  it('ledger.json of an earlier release is read, without an issuer and with only the names of delivery Secrets', () => {
    const { issuer: _, deliveries: __, ...rest } = stored();
    const former = JSON.stringify({ ...rest, formatVersion: 1, deliverySecretNames: ['old', 'new'] });
    const { issuer: ___, ...expected } = full;
    expect(parseLedger(former, 'gradebook', 'canvas')).to.deep.equal({
      ...expected,
      deliveries: [{ secretName: 'old' }, { secretName: 'new' }],
    });
  });

  it('ledger.json is corrupt wherever it was truncated', () => {
    const text = serializeLedger(full);
    for (let length = 0; length < text.length; length += 97) {
      expect(read(text.slice(0, length))).to.include({
        reason: 'LedgerCorrupt',
        message: 'ledger.json is not JSON; it may have been truncated',
      });
    }
  });

  const corruptions: readonly (readonly [string, (ledger: Json & Rows) => void, string])[] = [
    [
      'a version that is no number',
      (at) => (at['formatVersion'] = '1'),
      'ledger.json: formatVersion is not a whole number',
    ],
    ['no owner', (at) => delete at['namespace'], 'ledger.json: namespace is not a string'],
    ['no serial', (at) => delete at['serial'], 'ledger.json: serial is not a whole number'],
    ['a negative serial', (at) => (at['serial'] = -1), 'ledger.json: serial is not a whole number'],
    ['a fractional serial', (at) => (at['serial'] = 1.5), 'ledger.json: serial is not a whole number'],
    ['no highest revision', (at) => delete at['highestRevision'], 'ledger.json: highestRevision is not a whole number'],
    ['no list of keys', (at) => (at['keys'] = {} as never), 'ledger.json: keys is not a list'],
    ['no list of Secrets', (at) => delete at['deliveries'], 'ledger.json: deliveries is not a list'],
    ['a row that is no object', (at) => (at.keys[1] = null as never), 'ledger.json keys[1] is not an object'],
    ['a row without key ID', (at) => delete at.keys[2]['keyID'], 'ledger.json keys[2]: keyID is not a string'],
    [
      'a row without public key',
      (at) => delete at.keys[0]['publicJWK'],
      'ledger.json keys[0]: publicJWK is not a JSON object',
    ],
    [
      'a row with the public key of another',
      (at) => (at.keys[0]['publicJWK'] = at.keys[1]['publicJWK']),
      'ledger.json keys[0]: publicJWK.kid is not keyID',
    ],
    ['a row without creation time', (at) => delete at.keys[0]['createdAt'], 'ledger.json keys[0].createdAt is missing'],
    ['a time that is none', (at) => (at.keys[2]['retireAt'] = 'soon'), 'ledger.json keys[2].retireAt is not a time'],
    ['a time that is a number', (at) => (at.keys[2]['retireAt'] = 7), 'ledger.json keys[2]: retireAt is not a string'],
    [
      'a row without revision',
      (at) => delete at.keys[3]['revision'],
      'ledger.json keys[3]: revision is not a whole number',
    ],
    ['a row without size', (at) => delete at.keys[3]['size'], 'ledger.json keys[3]: size is not a whole number'],
    ['two Active keys', (at) => (at.keys[2]['state'] = 'Active'), 'ledger.json has more than one Active key'],
    ['two Next keys', (at) => (at.keys[2]['state'] = 'Next'), 'ledger.json has more than one Next key'],
    ['no pointer', (at) => delete at['activeKeyID'], 'activeKeyID of ledger.json names no Active key'],
    [
      'a pointer at another key',
      (at) => (at['activeKeyID'] = 'kid-3'),
      'activeKeyID of ledger.json names no Active key',
    ],
    [
      'rows out of order',
      (at) => (at.keys = at.keys.toReversed() as Rows['keys']),
      'ledger.json revisions are out of order',
    ],
    ['a revision twice', (at) => (at.keys[1]['revision'] = 1), 'ledger.json revisions are out of order'],
    ['a revision above the highest', (at) => (at['highestRevision'] = 4), 'ledger.json revisions are out of order'],
    [
      'a key ID twice',
      (at) => Object.assign(at.keys[1], { keyID: 'kid-1', publicJWK: at.keys[0]['publicJWK'] }),
      'ledger.json has two keys with one key ID',
    ],
  ];
  for (const [what, damage, message] of corruptions) {
    it(`ledger.json is corrupt with ${what}`, () => {
      expect(damaged(damage)).to.include({ reason: 'LedgerCorrupt', message });
    });
  }

  for (const text of ['null', '[]', '"text"', '7']) {
    it(`ledger.json is corrupt as ${text}`, () => {
      expect(read(text)).to.include({ reason: 'LedgerCorrupt', message: 'ledger.json is not an object' });
    });
  }

  it('ledger.json is corrupt if the entry is missing', () => {
    expect(read(undefined)).to.include({ reason: 'LedgerCorrupt', message: 'the entry ledger.json is missing' });
  });

  const newer: readonly (readonly [string, (ledger: Json & Rows) => void, string])[] = [
    [
      'format version',
      (at) => (at['formatVersion'] = 3),
      'ledger.json has format version 3, but this release reads 1 and 2',
    ],
    ['member', (at) => (at['pinned'] = true), 'ledger.json has 1 unknown members'],
    ['member of a row', (at) => (at.keys[1]['retain'] = true), 'ledger.json keys[1] has 1 unknown members'],
    [
      'member of a delivery Secret',
      (at) => ((at['deliveries'] as Json[])[0]!['kind'] = 'CSI'),
      'ledger.json deliveries[0] has 1 unknown members',
    ],
    [
      'deletion policy',
      (at) => (at['deletionPolicy'] = 'Archive'),
      'ledger.json: deletionPolicy is none of Retain, Delete',
    ],
    [
      'state',
      (at) => (at.keys[1]['state'] = 'Frozen'),
      'ledger.json keys[1]: state is none of Next, Active, Retiring, Retired, Revoked',
    ],
    ['cause', (at) => (at.keys[1]['cause'] = 'Whim'), 'ledger.json keys[1]: cause is none of Initial, '],
    ['algorithm', (at) => (at.keys[1]['algorithm'] = 'ES256'), 'ledger.json keys[1]: algorithm is none of RS256'],
  ];
  for (const [what, change, message] of newer) {
    it(`ledger.json is of a newer release with an unknown ${what}, which is distinguished from damage`, () => {
      const error = damaged(change);
      expect(error.reason).to.equal('LedgerFormatUnknown');
      expect(error.message).to.include(message);
      expect(error.message).to.match(/: a newer release of the operator wrote it$/);
    });
  }

  it('ledger.json of another registration is rejected, and the error names the registration', () => {
    const error = damaged((at) => (at['registration'] = 'moodle'));
    expect(error).to.include({
      reason: 'LedgerMismatch',
      message: 'ledger.json belongs to registration gradebook/moodle',
    });
  });

  it('ledger.json is never quoted: no error repeats one of its values, except names', () => {
    const secret = 'MIIEvQ-Secret+Value/';
    const places: string[][] = [
      ['formatVersion'],
      ['namespace'],
      ['registration'],
      ['serial'],
      ['activeKeyID'],
      ['keys'],
    ];
    for (const name of Object.keys(stored().keys[3])) places.push(['keys', '3', name]);
    for (const name of ['kid', 'n', 'e']) places.push(['keys', '3', 'publicJWK', name]);
    let refused = 0;
    for (const place of places) {
      const ledger = stored();
      let at = ledger as Json;
      for (const name of place.slice(0, -1)) at = at[name] as Json;
      at[place.at(-1)!] = secret;
      try {
        parseLedger(JSON.stringify(ledger), 'gradebook', 'canvas');
      } catch (error) {
        refused++;
        expect((error as Error).message, place.join('.')).not.to.include('Secret');
      }
    }
    expect(refused).to.be.at.least(places.length - 2);
    expect(read(`{"d":"${secret}`).message).not.to.include('Secret');
  });
});
