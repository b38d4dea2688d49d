import { expect } from 'chai';
import { ledgerEntry, ledgerSecretName, ledgerSecretType } from '../../../../src/api/names.ts';
import {
  keyMaterialOf,
  openKey,
  reseal,
  sealedUnder,
  sealingState,
} from '../../../../src/controller/keys/key-material.ts';
import type { LedgerRecord } from '../../../../src/controller/secrets/ledger-secret.ts';
import { OpenedKeys } from '../../../../src/controller/keys/opened-keys.ts';
import { FileKekProvider } from '../../../../src/crypto/file-kek-provider.ts';
import { KekError } from '../../../../src/crypto/errors.ts';
import type { Kek, KekProvider } from '../../../../src/crypto/kek-provider.ts';
import { generateKeyPair, type KeyPair } from '../../../../src/crypto/key-pair.ts';
import { seal } from '../../../../src/crypto/seal.ts';
import { sealedEntry } from '../../../../src/crypto/sealed-entry.ts';
import { TransportError } from '../../../../src/kube/errors.ts';
import { aKey, aLedger } from '../../../builders/ledger.ts';
import { KekFiles, kekText, ManualClock } from '../../crypto/kek-files.ts';

/** Counts how often a key-encryption key unwrapped something, for nothing else tells whether a key was decrypted. */
class CountedKeks implements KekProvider {
  confirmed = 0;
  readonly #keks: KekProvider;

  constructor(keks: KekProvider) {
    this.#keks = keks;
  }

  status: KekProvider['status'] = () => this.#keks.status();
  sealingKey: KekProvider['sealingKey'] = () => this.#keks.sealingKey();

  async openingKey(...asked: Parameters<KekProvider['openingKey']>): Promise<Kek> {
    const kek = await this.#keks.openingKey(...asked);
    return { ...kek, confirm: () => void (this.confirmed += 1) };
  }
}

function fails(error: Error): KekProvider {
  const fail = async (): Promise<never> => {
    throw error;
  };
  return { status: fail, sealingKey: fail, openingKey: fail };
}

describe('Key material', () => {
  let files: KekFiles;
  let clock: ManualClock;
  let keks: CountedKeks;
  let opened: OpenedKeys;
  let pairs: [KeyPair, KeyPair];
  let record: LedgerRecord;

  before(async () => void (pairs = await Promise.all([generateKeyPair(2048), generateKeyPair(2048)])));
  beforeEach(async () => {
    files = new KekFiles().write({ primary: 'k1', k1: kekText(1), k2: kekText(2) });
    clock = new ManualClock();
    keks = new CountedKeks(new FileKekProvider({ directory: files.path, clock }));
    opened = new OpenedKeys();
    record = await ledgerOf(pairs);
  });
  afterEach(() => files.dispose());

  async function ledgerOf(sealed: readonly KeyPair[]): Promise<LedgerRecord> {
    const rows = sealed.map(({ keyID, publicJWK }, index) =>
      aKey(index + 1, index === 0 ? 'Retiring' : 'Active', { keyID, publicJWK }),
    );
    const ledger = aLedger(rows);
    const entries = await Promise.all(
      sealed.map(async ({ keyID, privateKey }) => {
        const { jwe } = await seal(privateKey, { namespace: 'gradebook', registration: 'canvas', keyID }, keks);
        return [sealedEntry(keyID), Buffer.from(jwe).toString('base64')];
      }),
    );
    const metadata = { namespace: 'gradebook', name: ledgerSecretName('canvas'), resourceVersion: '1' };
    const data = { [ledgerEntry]: '', ...Object.fromEntries(entries) };
    return { ledger, secret: { metadata, type: ledgerSecretType, data } };
  }
  const withEntry = (keyID: string, text: string | undefined): LedgerRecord => {
    const { [sealedEntry(keyID)]: _, ...data } = record.secret.data!;
    const changed = text === undefined ? data : { ...data, [sealedEntry(keyID)]: Buffer.from(text).toString('base64') };
    return { ...record, secret: { ...record.secret, data: changed } };
  };
  const entryOf = (keyID: string): string => Buffer.from(record.secret.data![sealedEntry(keyID)]!, 'base64').toString();

  it('keyMaterialOf opens every sealed key', async () => {
    const found = await Promise.all(record.ledger.keys.map((key) => openKey(record, key, keks)));
    for (const [index, { privateKey }] of pairs.entries()) {
      expect(found[index]?.privateKey?.equals(privateKey)).to.equal(true);
    }
    const keyMaterial = await keyMaterialOf(record, keks, opened);
    expect([...keyMaterial.keys()]).to.deep.equal(pairs.map(({ keyID }) => keyID));
    expect([...keyMaterial.values()]).to.deep.equal(pairs.map(() => ({ opens: true, kekID: 'k1' })));
  });

  describe('faults', () => {
    const unexpected = new TransportError('Connection', 'the plugin said: d=hidden');
    it('keyMaterialOf and sealingState report UnexpectedError if the KEK provider throws an unexpected error', async () => {
      const keyMaterial = await keyMaterialOf(record, fails(unexpected), opened);
      for (const { keyID } of pairs) {
        const found = keyMaterial.get(keyID)!;
        expect(found).to.include({ reason: 'UnexpectedError', kekID: 'k1' });
        expect('message' in found && found.message)
          .to.include(keyID)
          .and.include('TransportError');
        expect('message' in found && found.message).to.not.include('hidden');
      }
      const state = await sealingState(fails(unexpected));
      expect(state).to.have.nested.property('sealingFault.reason', 'UnexpectedError');
      expect(JSON.stringify(state)).to.include('TransportError').and.not.include('hidden');
    });

    it('keyMaterialOf reports a fault if the KEK is missing', async () => {
      const error = new KekError('KMSUnavailable', 'the KMS is down');
      expect((await openKey(record, record.ledger.keys[0]!, fails(error))).keyMaterial).to.include({
        reason: 'SealKEKMissing',
      });
      expect(await sealingState(fails(error))).to.deep.equal({
        sealingFault: { reason: 'KMSUnavailable', message: 'the KMS is down' },
      });
    });

    it('keyMaterialOf reports KEKChanged if the bytes of the KEK changed', async () => {
      await keks.sealingKey().then((kek) => kek.confirm());
      files.write({ k1: kekText(9) });
      clock.advance(5000);
      const keyMaterial = await keyMaterialOf(record, keks, opened);
      expect([...keyMaterial.values()].map((found) => 'reason' in found && found.reason)).to.deep.equal([
        'KEKChanged',
        'KEKChanged',
      ]);
    });

    for (const [what, text, reason] of [
      ['is missing', undefined, 'SealedKeyMissing'],
      ['is empty', '', 'SealMalformed'],
      ['is no JWE', '{"protected":"e30"}', 'SealMalformed'],
    ] as const) {
      it(`keyMaterialOf reports a fault for an entry that ${what}`, async () => {
        const [{ keyID }, { keyID: sound }] = pairs;
        const damaged = withEntry(keyID, text);
        const keyMaterial = await keyMaterialOf(damaged, keks, opened);
        expect(keyMaterial.get(keyID)).to.include({ reason });
        expect(keyMaterial.get(sound)).to.deep.equal({ opens: true, kekID: 'k1' });
        expect(sealedUnder(damaged), 'not every key says under which KEK it is').to.equal(undefined);
      });
    }
  });

  it('sealedUnder returns the KEK of every sealed key, including keys that do not open', async () => {
    files.remove('k1');
    clock.advance(5000);
    const keyMaterial = await keyMaterialOf(record, keks, opened);
    expect([...keyMaterial.values()].some((found) => found.opens)).to.equal(false);
    expect(sealedUnder(record)).to.deep.equal(['k1', 'k1']);
  });

  describe('already opened', () => {
    it('keyMaterialOf decrypts each sealed key once, and openKey decrypts it each time', async () => {
      const first = await keyMaterialOf(record, keks, opened);
      expect(keks.confirmed).to.equal(2);
      const again = await keyMaterialOf(record, keks, opened);
      expect(keks.confirmed, 'nothing was decrypted').to.equal(2);
      expect(again).to.deep.equal(first);
      const [, { privateKey }] = pairs;
      const wanted = await openKey(record, record.ledger.keys[1]!, keks);
      expect(keks.confirmed).to.equal(3);
      expect(wanted.privateKey!.equals(privateKey)).to.equal(true);
    });

    it('keyMaterialOf decrypts a sealed key again if its bytes changed, and reports that it does not open', async () => {
      await keyMaterialOf(record, keks, opened);
      const [{ keyID }] = pairs;
      const { tag, ...rest } = JSON.parse(entryOf(keyID)) as { tag: string };
      const damaged = withEntry(keyID, JSON.stringify({ ...rest, tag: (tag[0] === 'A' ? 'B' : 'A') + tag.slice(1) }));
      for (let pass = 0; pass < 2; pass++) {
        const keyMaterial = await keyMaterialOf(damaged, keks, opened);
        expect(keyMaterial.get(keyID), `pass ${pass}`).to.include({ reason: 'SealTampered' });
      }
    });

    it('keyMaterialOf decrypts a sealed key again if its row has another public key', async () => {
      await keyMaterialOf(record, keks, opened);
      const [{ keyID }, { publicJWK }] = pairs;
      const keys = record.ledger.keys.map((row) => (row.keyID === keyID ? { ...row, publicJWK } : row));
      const edited = { ...record, ledger: { ...record.ledger, keys } };
      const keyMaterial = await keyMaterialOf(edited, keks, opened);
      expect(keyMaterial.get(keyID)).to.include({ reason: 'SealKeyMismatch' });
    });

    it('keyMaterialOf decrypts every sealed key again if the bytes of the KEK changed', async () => {
      await keyMaterialOf(record, keks, opened);
      files.write({ k1: kekText(9) });
      // One that does not notice by itself.
      const unknowing = new CountedKeks(new FileKekProvider({ directory: files.path, clock }));
      const keyMaterial = await keyMaterialOf(record, unknowing, opened);
      expect([...keyMaterial.values()].some((found) => found.opens)).to.equal(false);
      files.write({ k1: kekText(1) });
      clock.advance(5000);
      const healed = await keyMaterialOf(record, keks, opened);
      expect([...healed.values()].every((found) => found.opens)).to.equal(true);
    });

    it('keyMaterialOf decrypts a sealed key that was opened for another registration', async () => {
      await keyMaterialOf(record, keks, opened);
      const copied = { ...record, ledger: { ...record.ledger, registration: 'moodle' } };
      const keyMaterial = await keyMaterialOf(copied, keks, opened);
      for (const found of keyMaterial.values()) expect(found).to.include({ reason: 'SealContextMismatch' });
    });

    it('OpenedKeys drops keys that left the ledger, and registrations that are gone', async () => {
      await keyMaterialOf(record, keks, opened);
      const fewer = { ...record, ledger: { ...record.ledger, keys: record.ledger.keys.slice(1) } };
      await keyMaterialOf(fewer, keks, opened);
      await keyMaterialOf(record, keks, opened);
      expect(keks.confirmed, 'the first was opened again').to.equal(3);
      opened.forget('gradebook/canvas');
      await keyMaterialOf(record, keks, opened);
      expect(keks.confirmed).to.equal(5);
    });
  });

  it('reseal seals the given keys under the current KEK', async () => {
    const [{ keyID }] = pairs;
    files.write({ primary: 'k2' });
    clock.advance(5000);
    const [sealed, ...others] = await reseal(record, [keyID], keks);
    expect(others).to.deep.equal([]);
    expect(sealed).to.include({ keyID, kekID: 'k2' });
    const after = withEntry(keyID, sealed?.jwe);
    expect((await keyMaterialOf(after, keks, opened)).get(keyID)).to.deep.equal({ opens: true, kekID: 'k2' });
    files.remove('k2');
    clock.advance(5000);
    expect(await reseal(after, [keyID], keks), 'what does not open stays').to.deep.equal([]);
  });
});
