import { expect } from 'chai';
import { KekError } from '../../../../src/crypto/errors.ts';
import { generateKeyPair, type KeyPair } from '../../../../src/crypto/key-pair.ts';
import { KmsKekProvider } from '../../../../src/crypto/kms/kms-kek-provider.ts';
import { open, seal } from '../../../../src/crypto/seal.ts';
import { kekIDOf, type WrappedKey } from '../../../../src/crypto/wrapped-key.ts';
import { minute, second } from '../../../../src/domain/duration.ts';
import { FakeClock, settle } from '../../../fakes/fake-clock.ts';
import { headerOf, kekFailure, sealFailure } from '../../../fixtures/sealing.ts';
import { FakeKms, unavailable } from './fake-kms.ts';

describe('KmsKekProvider', () => {
  let kms: FakeKms;
  let clock: FakeClock;
  let keks: KmsKekProvider;
  let pair: KeyPair;
  const place = () => ({ namespace: 'gradebook', registration: 'canvas', keyID: pair.keyID });
  const restarted = (): KmsKekProvider => new KmsKekProvider({ kms, clock });
  const count = (call: string): number => kms.calls.filter((each) => each === call).length;
  /** Requests the status every five seconds, as the controller does. */
  const watch = async (duration: number): Promise<void> => {
    for (let passed = 0; passed < duration; passed += 5 * second) {
      await clock.advance(5 * second);
      await keks.status();
      await settle();
    }
  };

  before(async () => {
    pair = await generateKeyPair(2048);
  });
  beforeEach(() => {
    kms = new FakeKms();
    clock = new FakeClock();
    keks = restarted();
  });

  it('KmsKekProvider seals under a wrapping key that only the KMS can decrypt, and stores its ciphertext in the header', async () => {
    const { jwe, kekID } = await seal(pair.privateKey, place(), keks);
    expect(kekID)
      .to.equal(kekIDOf('key-1'))
      .and.to.match(/^kms-[0-9a-f]{16}$/);
    const { version, kms: wrapped } = headerOf(jwe);
    expect(version).to.equal(2);
    expect(wrapped).to.deep.include({ keyID: 'key-1', annotations: { 'version.fake.example': 'MQ' } });
    expect((await open(jwe, place(), restarted())).equals(pair.privateKey)).to.equal(true);
  });

  it('KmsKekProvider uses one wrapping key for all seals, which each process decrypts once to open them', async () => {
    const sealed = await Promise.all([1, 2, 3].map(() => seal(pair.privateKey, place(), keks)));
    expect(new Set(sealed.map(({ jwe }) => (headerOf(jwe)['kms'] as WrappedKey).ciphertext)).size).to.equal(1);
    expect(kms.calls).to.deep.equal(['status', 'encrypt', 'decrypt']);
    const another = restarted();
    await Promise.all(sealed.map(({ jwe }) => open(jwe, place(), another)));
    expect(count('decrypt')).to.equal(2);
  });

  it('KmsKekProvider returns keys that cannot be exported, and zeroes their bytes', async () => {
    const { wrapped } = await keks.sealingKey();
    const kek = await restarted().openingKey('', wrapped);
    expect(kek.key.extractable).to.equal(false);
    expect(kms.plaintexts).to.have.length(3);
    expect(kms.plaintexts.every((bytes) => bytes.every((byte) => byte === 0))).to.equal(true);
  });

  it('KmsKekProvider polls a healthy KMS once a minute and an unhealthy one every ten seconds', async () => {
    await keks.status();
    await watch(5 * minute);
    expect(count('status')).to.equal(1 + 5);
    kms.failure = unavailable;
    await watch(minute);
    const before = count('status');
    await watch(minute);
    expect(count('status') - before).to.equal(6);
  });

  it('KmsKekProvider seals for three minutes after the last successful poll, reports the problem, and continues to open', async () => {
    const { jwe } = await seal(pair.privateKey, place(), keks);
    kms.failure = unavailable;
    await watch(minute);
    expect(await keks.status()).to.deep.equal({ sealingKekID: kekIDOf('key-1'), problems: [unavailable] });
    await watch(2 * minute);
    expect(await keks.status()).to.deep.equal({ sealingKekID: undefined, problems: [unavailable] });
    expect(await kekFailure(seal(pair.privateKey, place(), keks))).to.equal(unavailable);
    expect((await open(jwe, place(), keks)).equals(pair.privateKey)).to.equal(true);
    kms.failure = undefined;
    await watch(10 * second);
    expect(await keks.status()).to.deep.equal({ sealingKekID: kekIDOf('key-1'), problems: [] });
    expect(count('encrypt'), 'the same wrapping key').to.equal(1);
  });

  it('KmsKekProvider polls the KMS before it seals if the last poll is three minutes old', async () => {
    await keks.status();
    await clock.advance(10 * minute);
    expect((await keks.sealingKey()).id).to.equal(kekIDOf('key-1'));
    await clock.advance(10 * minute);
    kms.failure = unavailable;
    expect(await kekFailure(keks.sealingKey())).to.equal(unavailable);
  });

  it('KmsKekProvider does not seal after a poll that took longer than three minutes', async () => {
    let answer = (): void => undefined;
    kms.slow = new Promise((resolve) => (answer = resolve));
    const status = keks.status();
    await clock.advance(4 * minute);
    answer();
    const { sealingKekID, problems } = await status;
    expect(sealingKekID).to.equal(undefined);
    expect(problems[0]?.message).to.equal(
      'the fake KMS has not reported healthy for 3 minutes, so nothing is sealed with it: check its log',
    );
  });

  it('KmsKekProvider does not wait for a repeated poll of a slow KMS', async () => {
    await keks.status();
    kms.slow = new Promise(() => undefined);
    await clock.advance(minute);
    expect(await keks.status()).to.deep.equal({ sealingKekID: kekIDOf('key-1'), problems: [] });
    expect((await keks.sealingKey()).id).to.equal(kekIDOf('key-1'));
    expect(count('status'), 'asked once, not once for each').to.equal(2);
  });

  it('KmsKekProvider creates a new wrapping key if the KMS reports another key_id, and opens what the old one sealed', async () => {
    const { jwe } = await seal(pair.privateKey, place(), keks);
    kms.keyID = 'key-2';
    await watch(minute);
    expect((await keks.status()).sealingKekID).to.equal(kekIDOf('key-2'));
    const again = await seal(pair.privateKey, place(), keks);
    expect([again.kekID, (headerOf(again.jwe)['kms'] as WrappedKey).keyID]).to.deep.equal([kekIDOf('key-2'), 'key-2']);
    const another = restarted();
    for (const sealed of [jwe, again.jwe]) {
      expect((await open(sealed, place(), another)).equals(pair.privateKey)).to.equal(true);
    }
  });

  it('KmsKekProvider keeps the old wrapping key for its time if the KMS reports a key that it cannot use', async () => {
    await keks.status();
    kms.keyID = 'key-2';
    kms.encrypts = () => {
      throw new KekError('KMSRefused', 'the fake KMS may not use key-2');
    };
    await watch(minute);
    const { sealingKekID, problems } = await keks.status();
    expect(sealingKekID).to.equal(kekIDOf('key-1'));
    expect(problems.map(({ reason }) => reason)).to.deep.equal(['KMSRefused']);
    await watch(2 * minute);
    expect((await keks.status()).sealingKekID).to.equal(undefined);
  });

  describe('refuses to seal', () => {
    it('KmsKekProvider refuses to seal if the KMS encrypts with another key_id than it reports', async () => {
      kms.encrypts = (wrapped) => ({ ...wrapped, keyID: 'key-7' });
      const error = await kekFailure(keks.sealingKey());
      expect(error.reason).to.equal('KMSMalformed');
      expect(error.message).to.match(
        /^the fake KMS encrypts with another key_id than its Status reports, so nothing new/,
      );
    });

    it('KmsKekProvider refuses to seal if the KMS does not decrypt what it encrypted', async () => {
      kms.encrypts = (wrapped) => ({ ...wrapped, ciphertext: Buffer.alloc(32, 7).toString('base64url') });
      const error = await kekFailure(keks.sealingKey());
      expect(error.reason).to.equal('KMSMalformed');
      expect(error.message).to.match(
        /^the fake KMS does not decrypt what it encrypted, so nothing new is sealed with it: /,
      );
    });
  });

  describe('if a key does not open', () => {
    let jwe: string;
    beforeEach(async () => {
      ({ jwe } = await seal(pair.privateKey, place(), keks));
      keks = restarted();
    });

    it('KmsKekProvider retries a failed Decrypt after ten seconds, not for every sealed key', async () => {
      kms.failure = unavailable;
      const before = count('decrypt');
      for (let attempt = 0; attempt < 5; attempt += 1) {
        const error = await sealFailure(open(jwe, place(), keks));
        expect(error).to.include({ reason: 'SealKEKMissing', kekID: kekIDOf('key-1'), cause: unavailable });
        expect(error.message).to.match(/which cannot be used: the fake KMS is away$/);
      }
      expect(count('decrypt') - before).to.equal(1);
      kms.failure = undefined;
      await clock.advance(10 * second);
      expect((await open(jwe, place(), keks)).equals(pair.privateKey)).to.equal(true);
    });

    it('KmsKekProvider caches a wrong key for at most ten seconds', async () => {
      kms.decrypts = () => Buffer.alloc(32, 9);
      expect((await sealFailure(open(jwe, place(), keks))).reason).to.equal('SealTampered');
      kms.decrypts = undefined;
      await clock.advance(10 * second);
      expect((await open(jwe, place(), keks)).equals(pair.privateKey)).to.equal(true);
    });

    it('KmsKekProvider caches a key that opened something for the life of the process', async () => {
      await open(jwe, place(), keks);
      kms.failure = unavailable;
      await clock.advance(1000 * minute);
      expect((await open(jwe, place(), keks)).equals(pair.privateKey)).to.equal(true);
    });
  });

  it('KmsKekProvider confirms a KEK by what an earlier wrapping key decrypts, not by a wrapping key that it just made', async () => {
    const { jwe } = await seal(pair.privateKey, place(), restarted());
    expect((await keks.sealingKey()).isConfirmed()).to.equal(false);
    await open(jwe, place(), keks);
    expect((await keks.sealingKey()).isConfirmed()).to.equal(true);
    kms.keyID = 'key-2';
    await watch(2 * minute);
    const kek = await keks.sealingKey();
    expect([kek.id, kek.isConfirmed()]).to.deep.equal([kekIDOf('key-2'), false]);
  });

  it('KmsKekProvider drops the least recently used wrapping keys beyond a thousand', async () => {
    const wrapped = (index: number): WrappedKey => ({
      keyID: 'key-1',
      ciphertext: Buffer.alloc(32, `${index} `).toString('base64url'),
      annotations: {},
    });
    const get = async (index: number): Promise<void> => (await keks.openingKey('', wrapped(index))).confirm();
    for (let index = 0; index < 1000; index += 1) await get(index);
    await get(0);
    expect(count('decrypt')).to.equal(1000);
    await get(1000);
    await get(0);
    expect(count('decrypt')).to.equal(1001);
    await get(1);
    expect(count('decrypt')).to.equal(1002);
  });

  it('KmsKekProvider names the missing option for a KEK that is a file', async () => {
    const error = await kekFailure(keks.openingKey('kek-1'));
    expect(error.reason).to.equal('KEKMissing');
    expect(error.message).to.equal('KEK kek-1 is a file, not a key in a KMS: name its directory with --kek-dir');
  });
});
