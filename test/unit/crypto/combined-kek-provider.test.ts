import { expect } from 'chai';
import { CombinedKekProvider } from '../../../src/crypto/combined-kek-provider.ts';
import { FileKekProvider } from '../../../src/crypto/file-kek-provider.ts';
import { KekError } from '../../../src/crypto/errors.ts';
import { generateKeyPair } from '../../../src/crypto/key-pair.ts';
import { KmsKekProvider } from '../../../src/crypto/kms/kms-kek-provider.ts';
import { open, seal } from '../../../src/crypto/seal.ts';
import { kekIDOf } from '../../../src/crypto/wrapped-key.ts';
import { KekFiles, kekText, ManualClock } from './kek-files.ts';
import { FakeKms } from './kms/fake-kms.ts';

describe('CombinedKekProvider', () => {
  let files: KekFiles;
  let kms: FakeKms;
  let keks: CombinedKekProvider;
  const inKms = kekIDOf('key-1');

  beforeEach(() => {
    files = new KekFiles();
    kms = new FakeKms();
    keks = fresh();
  });
  afterEach(() => files.dispose());

  function fresh(): CombinedKekProvider {
    const clock = new ManualClock();
    return new CombinedKekProvider({
      files: new FileKekProvider({ directory: files.path, clock }),
      kms: new KmsKekProvider({ kms, clock }),
    });
  }

  it('CombinedKekProvider seals with the KEK file that primary names, and with the KMS if there is no file primary', async () => {
    files.write({ primary: 'kek-1', 'kek-1': kekText(1) });
    expect(await keks.status()).to.deep.equal({ sealingKekID: 'kek-1', problems: [] });
    expect((await keks.sealingKey()).id).to.equal('kek-1');
    files.remove('primary');
    keks = fresh();
    expect(await keks.status()).to.deep.equal({ sealingKekID: inKms, problems: [] });
    expect((await keks.sealingKey()).id).to.equal(inKms);
  });

  it('CombinedKekProvider opens keys sealed by the directory and keys sealed by the KMS', async () => {
    const { keyID, privateKey } = await generateKeyPair(2048);
    const context = { namespace: 'gradebook', registration: 'canvas', keyID };
    files.write({ primary: 'kek-1', 'kek-1': kekText(1) });
    const byFile = await seal(privateKey, context, keks);
    files.remove('primary');
    keks = fresh();
    const byKms = await seal(privateKey, context, keks);
    expect([byFile.kekID, byKms.kekID]).to.deep.equal(['kek-1', inKms]);
    for (const { jwe } of [byFile, byKms]) expect((await open(jwe, context, keks)).equals(privateKey)).to.equal(true);
  });

  it('CombinedKekProvider does not fall back to the KMS if a KEK file is missing or unusable', async () => {
    files.write({ primary: 'kek-2', 'kek-1': kekText(1) });
    const { sealingKekID, problems } = await keks.status();
    expect([sealingKekID, problems.map(({ reason }) => reason)]).to.deep.equal([undefined, ['KEKMissing']]);
    const failure: unknown = await keks.sealingKey().catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(KekError).and.include({ reason: 'KEKMissing' });
    files.dispose();
    keks = fresh();
    expect((await keks.status()).problems.map(({ reason }) => reason)).to.include('KEKDirectoryMissing');
    expect((await keks.status()).sealingKekID).to.equal(undefined);
  });

  it('CombinedKekProvider reports the problems of the provider that does not seal', async () => {
    files.write({ primary: 'kek-1', 'kek-1': kekText(1), 'kek-2': 'short' });
    kms.failure = new KekError('KMSUnavailable', 'the fake KMS is down');
    const one = await keks.status();
    expect([one.sealingKekID, one.problems.map(({ reason }) => reason)]).to.deep.equal([
      'kek-1',
      ['KEKMalformed', 'KMSUnavailable'],
    ]);
  });
});
