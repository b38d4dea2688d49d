import { expect } from 'chai';
import type { LtiKey } from '../../../../src/api/objects.ts';
import { canarySecretName } from '../../../../src/api/names.ts';
import { CanariedKekProvider } from '../../../../src/controller/keks/kek-canary.ts';
import { FileKekProvider } from '../../../../src/crypto/file-kek-provider.ts';
import { KekError } from '../../../../src/crypto/errors.ts';
import { generateKeyPair, type KeyPair } from '../../../../src/crypto/key-pair.ts';
import { open, seal } from '../../../../src/crypto/seal.ts';
import { second } from '../../../../src/domain/duration.ts';
import { KekFiles, kekText, ManualClock } from '../../crypto/kek-files.ts';
import { CanarySecrets, noAnswer, refusal } from './canary-secrets.ts';

const secretName = `operators/${canarySecretName}`;

describe('CanariedKekProvider', () => {
  let files: KekFiles;
  let clock: ManualClock;
  let secrets: CanarySecrets;
  let keys: LtiKey[];
  let synced: boolean;
  let pair: KeyPair;

  before(async () => void (pair = await generateKeyPair(2048)));
  beforeEach(() => {
    files = new KekFiles().write({ primary: 'k1', k1: kekText(1) });
    clock = new ManualClock();
    secrets = new CanarySecrets();
    keys = [];
    synced = true;
  });
  afterEach(() => files.dispose());

  /** A process that has just started. */
  function start(): CanariedKekProvider {
    return new CanariedKekProvider({
      keks: new FileKekProvider({ directory: files.path, clock }),
      client: secrets,
      namespace: 'operators',
      keys: { list: () => keys, isUsable: () => synced },
      clock,
    });
  }
  const context = () => ({ namespace: 'gradebook', registration: 'canvas', keyID: pair.keyID });
  const sealed = async (keks = start()): Promise<string> => (await seal(pair.privateKey, context(), keks)).jwe;
  const refused = async (keks: CanariedKekProvider): Promise<KekError> => {
    const error: unknown = await keks.sealingKey().catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(KekError);
    return error as KekError;
  };
  const claim = (kekID: string): void =>
    void (keys = [{ metadata: { namespace: 'gradebook', name: 'canvas-1' }, status: { kekID } } as LtiKey]);

  it('A canary is created before a KEK seals for the first time, and confirms the KEK in the next process', async () => {
    expect((await start().sealingKey()).id).to.equal('k1');
    expect(secrets.entries()).to.deep.equal(['k1']);
    files.write({ primary: 'k2', k2: kekText(2) });
    expect(await start().status()).to.deep.equal({ sealingKekID: 'k2', problems: [] });
    expect(secrets.entries()).to.deep.equal(['k1', 'k2']);
    files.write({ primary: 'k1' });
    expect(await start().status()).to.deep.equal({ sealingKekID: 'k1', problems: [] });
  });

  it('A canary refuses a KEK of the same ID with other bytes', async () => {
    await start().sealingKey();
    files.write({ k1: kekText(3) });
    const keks = start();
    expect((await refused(keks)).reason).to.equal('KEKChanged');
    expect((await keks.status()).sealingKekID).to.equal(undefined);
    files.write({ k1: kekText(1) });
    clock.advance(3 * second);
    expect((await keks.sealingKey()).id, 'as soon as the former one is back').to.equal('k1');
  });

  it('A canary that was sealed under other bytes prevents a KEK from sealing, although it opened a sealed key', async () => {
    const jwe = await sealed();
    secrets.stored = undefined;
    files.write({ k1: kekText(3) });
    await start().sealingKey();
    files.write({ k1: kekText(1) });
    const keks = start();
    await open(jwe, context(), keks);
    expect((await refused(keks)).reason).to.equal('KEKChanged');
    expect((await keks.status()).sealingKekID).to.equal(undefined);
  });

  it('A canary is read once for a KEK that it confirms, and again for other bytes', async () => {
    await start().sealingKey();
    const keks = start();
    secrets.calls.length = 0;
    for (let index = 0; index < 3; index++) await keks.sealingKey();
    clock.advance(60 * second);
    await keks.status();
    expect(secrets.calls).to.deep.equal(['get']);
    files.write({ k1: kekText(3), primary: 'k2', k2: kekText(2) });
    clock.advance(3 * second);
    expect((await keks.sealingKey()).id).to.equal('k2');
    files.write({ primary: 'k1' });
    clock.advance(3 * second);
    expect((await refused(keks)).reason).to.equal('KEKChanged');
  });

  it('A canary is read again after the KEK directory changed, and a failed read then does not prevent sealing', async () => {
    const keks = start();
    await keks.sealingKey();
    secrets.before = () => {
      throw refusal(403, 'Forbidden');
    };
    files.write({ k2: kekText(2) });
    clock.advance(3 * second);
    const { sealingKekID, problems } = await keks.status();
    expect([sealingKekID, ...problems.map(({ reason }) => reason)]).to.deep.equal(['k1', 'KEKUnverified']);
  });

  describe('with a Secret that cannot be read or written', () => {
    const refusals: readonly {
      what: string;
      planted?: true;
      verb: 'get' | 'create' | 'replace';
      error: () => Error;
    }[] = [
      { what: 'a read that RBAC forbids', planted: true, verb: 'get', error: () => refusal(403, 'Forbidden') },
      { what: 'a read without an answer', planted: true, verb: 'get', error: noAnswer },
      { what: 'an API server that fails', planted: true, verb: 'get', error: () => refusal(500, 'InternalError') },
      { what: 'an error of no known kind', planted: true, verb: 'get', error: () => new TypeError('d=secret') },
      { what: 'a create that RBAC forbids', verb: 'create', error: () => refusal(403, 'Forbidden') },
      { what: 'a create that a quota refuses', verb: 'create', error: () => refusal(403, 'Forbidden') },
    ];
    for (const { what, planted, verb, error } of refusals) {
      it(`A canary that is not available is a problem of the status, not an exception: ${what}`, async () => {
        if (planted) await start().sealingKey();
        secrets.before = (called) => {
          if (called === verb) throw error();
        };
        const keks = start();
        const { sealingKekID, problems } = await keks.status();
        expect(sealingKekID).to.equal(undefined);
        expect(problems.map(({ reason }) => reason)).to.deep.equal(['KEKUnverified']);
        expect(problems[0]?.message).to.include(`Secret ${secretName}`).and.not.include('d=secret');
        const { reason, message } = await refused(keks);
        expect(reason).to.equal('KEKUnverified');
        if (what.includes('RBAC')) {
          expect(message).to.include('403 Forbidden').and.include('get, create and update');
        }
        secrets.before = () => undefined;
        clock.advance(6 * second);
        expect(await keks.status()).to.deep.equal({ sealingKekID: 'k1', problems: [] });
      });
    }

    it('A canary is requested once in a few seconds, however many registrations need it', async () => {
      secrets.before = () => {
        throw refusal(403, 'Forbidden');
      };
      const keks = start();
      const all = await Promise.all(Array.from({ length: 1000 }, () => keks.status()));
      for (let index = 0; index < 1000; index++) await keks.status();
      expect(all.every(({ sealingKekID }) => sealingKekID === undefined)).to.equal(true);
      expect(secrets.calls).to.deep.equal(['get']);
      clock.advance(6 * second);
      await keks.status();
      expect(secrets.calls).to.deep.equal(['get', 'get']);
    });

    it('A canary that cannot be read does not prevent opening', async () => {
      const jwe = await sealed();
      secrets.before = () => {
        throw refusal(403, 'Forbidden');
      };
      expect((await open(jwe, context(), start())).equals(pair.privateKey)).to.equal(true);
    });

    it('A canary that cannot be read does not prevent a KEK that opened a sealed key from sealing, but is reported', async () => {
      const jwe = await sealed();
      secrets.before = () => {
        throw refusal(403, 'Forbidden');
      };
      const keks = start();
      await refused(keks);
      await open(jwe, context(), keks);
      expect((await keks.sealingKey()).id).to.equal('k1');
      const { sealingKekID, problems } = await keks.status();
      expect([sealingKekID, ...problems.map(({ reason }) => reason)]).to.deep.equal(['k1', 'KEKUnverified']);
    });

    it('A canary of another replica that was first is used', async () => {
      let raced = true;
      secrets.before = (verb) => {
        if (verb !== 'create' || raced) return;
        raced = true;
        secrets.put({ ...rival, metadata: { name: canarySecretName, namespace: 'operators' } });
      };
      await start().sealingKey();
      const rival = secrets.stored!;
      secrets.stored = undefined;
      raced = false;
      expect(await start().status()).to.deep.equal({ sealingKekID: 'k1', problems: [] });
      expect(secrets.stored!.data).to.deep.equal(rival.data);
    });
  });

  describe('with a Secret that is not the operator’s', () => {
    const metadata = { name: canarySecretName, namespace: 'operators' };
    const encode = (text: string): string => Buffer.from(text).toString('base64');
    for (const [what, secret] of [
      ['of another type', { metadata, type: 'kubernetes.io/basic-auth', data: {} }],
      ['with an entry that is no canary', { metadata, type: 'Opaque', data: { password: encode('hunter2') } }],
      ['with a damaged canary of this key', { metadata, type: 'Opaque', data: { k1: encode('{"ciphertext":"x"}') } }],
    ] as const) {
      it(`A Secret ${what} is not overwritten`, async () => {
        secrets.put(secret);
        const { data } = secrets.stored!;
        const { reason, message } = await refused(start());
        expect(reason).to.equal('KEKUnverified');
        expect(message).to.include(`Secret ${secretName}`).and.not.include('hunter2');
        expect(secrets.stored!.data).to.deep.equal(data);
        expect(secrets.calls).to.deep.equal(['get']);
      });
    }
  });

  describe('with a Secret that was lost', () => {
    it('A lost canary is not created again for other bytes by the process that read it', async () => {
      const keks = start();
      await keks.sealingKey();
      secrets.stored = undefined;
      files.write({ k1: kekText(3) });
      clock.advance(3 * second);
      expect((await refused(keks)).reason).to.equal('KEKChanged');
      expect(secrets.stored).to.equal(undefined);
    });

    it('A lost canary is created again only by a KEK that opens a key that LtiKeys report as sealed under it', async () => {
      const jwe = await sealed();
      secrets.stored = undefined;
      claim('k1');
      const keks = start();
      const { reason, message } = await refused(keks);
      expect(reason).to.equal('KEKUnverified');
      expect(message).to.include(`Secret ${secretName}`);
      expect(secrets.stored).to.equal(undefined);
      await open(jwe, context(), keks);
      expect(await keks.status()).to.deep.equal({ sealingKekID: 'k1', problems: [] });
      expect(secrets.entries()).to.deep.equal(['k1']);
    });

    it('A lost canary is not created for other bytes under a KEK ID that LtiKeys report', async () => {
      const jwe = await sealed();
      secrets.stored = undefined;
      claim('k1');
      files.write({ k1: kekText(3) });
      const keks = start();
      const error: unknown = await open(jwe, context(), keks).catch((thrown: unknown) => thrown);
      expect(error).to.include({ reason: 'SealTampered' });
      expect((error as Error).message).to.match(/KEK k1 has other bytes.*or the sealed key was changed/);
      expect((await refused(keks)).reason).to.equal('KEKUnverified');
      expect(secrets.stored).to.equal(undefined);
    });

    it('A canary is created for a KEK that no LtiKey reports', async () => {
      claim('k0');
      expect(await start().status()).to.deep.equal({ sealingKekID: 'k1', problems: [] });
    });

    it('A canary is not created before the LtiKeys were read', async () => {
      synced = false;
      const keks = start();
      expect(await keks.status(), 'nothing is sealed yet').to.deep.equal({ sealingKekID: 'k1', problems: [] });
      expect((await refused(keks)).reason).to.equal('KEKUnverified');
      expect(secrets.stored).to.equal(undefined);
      synced = true;
      expect((await keks.sealingKey()).id).to.equal('k1');
    });
  });

  describe('and a sealed key that does not open', () => {
    const failure = async (
      jwe: string,
      keks: CanariedKekProvider,
    ): Promise<Error & { reason: string; cause: unknown }> =>
      open(jwe, context(), keks).then(
        () => expect.fail('it opened'),
        (error: unknown) => error as Error & { reason: string; cause: unknown },
      );
    const damaged = (jwe: string): string => {
      const { tag, ...rest } = JSON.parse(jwe) as { tag: string };
      return JSON.stringify({ ...rest, tag: (tag.startsWith('A') ? 'B' : 'A') + tag.slice(1) });
    };

    it('A canary that does not open shows that the KEK was changed, so that the message advises against a restore', async () => {
      const jwe = await sealed();
      files.write({ k1: kekText(3) });
      const { reason, message, cause } = await failure(jwe, start());
      expect(reason).to.equal('SealKEKMissing');
      expect(cause).to.include({ reason: 'KEKChanged' });
      expect(message)
        .to.include('Put the former key back')
        .and.not.match(/restore/i);
    });

    it('A canary that opens shows that the sealed key was changed', async () => {
      const jwe = damaged(await sealed());
      const { reason, message } = await failure(jwe, start());
      expect(reason).to.equal('SealTampered');
      expect(message).to.include('was changed after it was sealed').and.not.include('KEK');
    });

    it('A canary that cannot be read leaves both causes, and the message has its problem', async () => {
      const jwe = damaged(await sealed());
      secrets.before = () => {
        throw refusal(403, 'Forbidden');
      };
      const { reason, message } = await failure(jwe, start());
      expect(reason).to.equal('SealTampered');
      expect(message).to.match(/KEK k1 has other bytes.*or the sealed key was changed.*403 Forbidden/s);
    });

    it('A canary is not read if the KEK opened another sealed key before', async () => {
      const jwe = await sealed();
      const keks = start();
      await open(jwe, context(), keks);
      secrets.calls.length = 0;
      expect((await failure(damaged(jwe), keks)).message).to.include('was changed after it was sealed');
      expect(secrets.calls).to.deep.equal([]);
    });

    it('A canary is read once for many sealed keys that do not open', async () => {
      const jwe = await sealed();
      files.write({ k1: kekText(3) });
      const keks = start();
      secrets.calls.length = 0;
      await Promise.all(Array.from({ length: 50 }, () => failure(jwe, keks)));
      expect(secrets.calls).to.deep.equal(['get']);
    });
  });
});
