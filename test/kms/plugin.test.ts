import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fromJSON, loadSync } from '@grpc/proto-loader';
import { expect } from 'chai';
import type { KekReason } from '../../src/api/reasons.ts';
import type { KekError } from '../../src/crypto/errors.ts';
import { generateKeyPair, type KeyPair } from '../../src/crypto/key-pair.ts';
import { GrpcKms } from '../../src/crypto/kms/grpc-kms.ts';
import { KmsKekProvider } from '../../src/crypto/kms/kms-kek-provider.ts';
import { open, seal } from '../../src/crypto/seal.ts';
import { kekIDOf } from '../../src/crypto/wrapped-key.ts';
import { minute, second } from '../../src/domain/duration.ts';
import { FakeClock } from '../fakes/fake-clock.ts';
import { headerOf, sealFailure } from '../fixtures/sealing.ts';
import { Plugin, type Mode } from '../fixtures/kms-plugin.ts';

const root = join(import.meta.dirname, '../..');

describe('The KMS v2 API', () => {
  const folder = join(root, 'src/crypto/kms');

  it('The KMS v2 messages in api.json are those of the official definition', () => {
    const options = { bytes: Buffer, defaults: true, objects: true };
    const json = JSON.parse(readFileSync(join(folder, 'api.json'), 'utf8')) as Parameters<typeof fromJSON>[0];
    const shape = (definition: object): unknown => JSON.parse(JSON.stringify(definition));
    const written = shape(fromJSON(json, options)) as Record<string, object>;
    const official = shape(loadSync(join(folder, 'api.proto'), options)) as Record<string, object>;
    expect(Object.keys(written['v2.KeyManagementService']!)).to.deep.equal(['Status', 'Decrypt', 'Encrypt']);
    expect(written).to.deep.equal(official);
  });

  it('The KMS v2 definition is that of the module that the test plugin is built with', async () => {
    const cwd = join(root, 'dev/kms-plugin');
    const { stdout } = await promisify(execFile)('go', ['mod', 'download', '-json', 'k8s.io/kms'], { cwd });
    const { Dir: module } = JSON.parse(stdout) as { Dir: string };
    const official = readFileSync(join(module, 'apis/v2/api.proto'), 'utf8');
    expect(readFileSync(join(folder, 'api.proto'), 'utf8')).to.equal(official);
  });
});

describe('A KMS plugin', () => {
  let plugin: Plugin;
  let kms: GrpcKms;
  let clock: FakeClock;
  let keks: KmsKekProvider;
  let pair: KeyPair;
  const closing: GrpcKms[] = [];
  const place = () => ({ namespace: 'gradebook', registration: 'canvas', keyID: pair.keyID });

  /** A provider without caches, as after a restart of the operator. */
  function newProvider(options: { deadline?: number } = {}): KmsKekProvider {
    kms = new GrpcKms({ socket: plugin.socket, ...options });
    closing.push(kms);
    return new KmsKekProvider({ kms, clock });
  }
  const opens = async (jwe: string, provider = keks): Promise<boolean> =>
    (await open(jwe, place(), provider)).equals(pair.privateKey);
  async function problem(provider = keks): Promise<KekError> {
    const { sealingKekID, problems } = await provider.status();
    expect(sealingKekID).to.equal(undefined);
    expect(problems).to.have.length(1);
    expect(problems[0]!.message).to.include(plugin.socket);
    return problems[0]!;
  }
  /** A plugin takes a moment to listen, and gRPC to reconnect. */
  async function untilHealthy(): Promise<void> {
    for (const deadline = Date.now() + 60_000; (await keks.status()).sealingKekID === undefined;) {
      if (Date.now() > deadline) throw await problem();
      await new Promise((resolve) => setTimeout(resolve, 50));
      await clock.advance(10 * second);
      await clock.advance(3 * minute);
    }
  }

  before(async () => {
    pair = await generateKeyPair(2048);
  });
  beforeEach(async () => {
    plugin = new Plugin();
    clock = new FakeClock();
    keks = newProvider();
    await plugin.start();
    await untilHealthy();
  });
  afterEach(async () => {
    for (const each of closing.splice(0)) each.close();
    await plugin.dispose();
  });

  it('A KMS plugin seals keys, and opens them after a restart of both sides', async () => {
    const { jwe, kekID } = await seal(pair.privateKey, place(), keks);
    expect(kekID).to.equal(kekIDOf('kek-1'));
    expect(headerOf(jwe)['kms']).to.deep.include({
      keyID: 'kek-1',
      annotations: { 'version.kms-plugin.ltikeys.dev': Buffer.from('1').toString('base64url') },
    });
    await plugin.stop();
    await plugin.start();
    keks = newProvider();
    await untilHealthy();
    expect(await opens(jwe)).to.equal(true);
  });

  it('A KMS plugin that is down is reported with its socket, cached keys still open, and it is used again when it is back', async () => {
    const { jwe } = await seal(pair.privateKey, place(), keks);
    await plugin.stop();
    await clock.advance(3 * minute);
    const down = await problem();
    expect(down.reason).to.equal('KMSUnavailable');
    expect(down.message).to.match(
      /cannot be reached \((ECONNREFUSED|connection lost)\): start it, mount its socket, or/,
    );
    expect(await opens(jwe)).to.equal(true);
    const restarted = newProvider();
    const error = await sealFailure(open(jwe, place(), restarted));
    expect(error.reason).to.equal('SealKEKMissing');
    expect(error.message).to.include(`${plugin.socket} cannot be reached`);
    await plugin.start();
    await untilHealthy();
    expect(await opens(jwe)).to.equal(true);
    await clock.advance(10 * second);
    expect(await eventually(() => opens(jwe, restarted))).to.equal(true);
  });

  it('A KMS plugin whose socket is missing is reported', async () => {
    await plugin.dispose();
    plugin = new Plugin();
    const missing = await problem(newProvider());
    expect(missing.reason).to.equal('KMSUnavailable');
    expect(missing.message).to.equal(
      `the KMS plugin at ${plugin.socket} cannot be reached (ENOENT): start it, mount its socket, or name another socket with --kms-socket`,
    );
  });

  it('A KMS plugin that does not answer is reported after the deadline', async () => {
    plugin.behave('slow');
    const slow = newProvider({ deadline: second / 4 });
    expect(await problem(slow)).to.include({
      reason: 'KMSUnavailable',
      message: `the KMS plugin at ${plugin.socket} did not answer Status within 0.25 s: check whether it reaches the service behind it`,
    });
  });

  it('A KMS plugin that rotates its key seals under the new one and opens what was sealed before', async () => {
    const old = await seal(pair.privateKey, place(), keks);
    plugin.behave('ok', 'kek-2');
    await clock.advance(3 * minute);
    const present = await seal(pair.privateKey, place(), keks);
    expect([old.kekID, present.kekID]).to.deep.equal([kekIDOf('kek-1'), kekIDOf('kek-2')]);
    keks = newProvider();
    expect(await opens(old.jwe)).to.equal(true);
    expect(await opens(present.jwe)).to.equal(true);
  });

  it('A KMS plugin with another key under the same key_id opens nothing, and the error says so', async () => {
    const { jwe } = await seal(pair.privateKey, place(), keks);
    plugin.behave('ok', 'kek-1', 'other bytes');
    const error = await sealFailure(open(jwe, place(), newProvider()));
    expect(error).to.include({ reason: 'SealKEKMissing', kekID: kekIDOf('kek-1') });
    expect(error.cause).to.include({ reason: 'KMSRefused' });
    expect(error.message).to.include('refused Decrypt (UNKNOWN): the key in the KMS may be deleted or replaced');
  });

  const faults: { mode: Mode; reason: KekReason; says: string }[] = [
    { mode: 'unhealthy', reason: 'KMSUnhealthy', says: 'reports in Status that it is not healthy' },
    {
      mode: 'refuse',
      reason: 'KMSRefused',
      says: 'refused Encrypt (PERMISSION_DENIED): the plugin may lack permission',
    },
    { mode: 'status-garbage', reason: 'KMSMalformed', says: 'sent an invalid response to Status: version is not v2' },
    { mode: 'no-key-id', reason: 'KMSMalformed', says: 'to Status: key_id is empty' },
    { mode: 'big-key-id', reason: 'KMSMalformed', says: 'to Status: key_id has more than 1024 bytes' },
    { mode: 'big-ciphertext', reason: 'KMSMalformed', says: 'to Encrypt: ciphertext has more than 1024 bytes' },
    { mode: 'bad-annotation', reason: 'KMSMalformed', says: 'to Encrypt: annotation is not named by' },
    { mode: 'foreign-key-id', reason: 'KMSMalformed', says: 'encrypts with another key_id than its Status reports' },
    { mode: 'encrypt-garbage', reason: 'KMSRefused', says: 'refused Decrypt (UNKNOWN)' },
    { mode: 'decrypt-garbage', reason: 'KMSMalformed', says: 'to Decrypt: plaintext is not the 32 bytes' },
  ];
  for (const { mode, reason, says } of faults) {
    it(`A KMS plugin in mode ${mode} seals nothing, is reported as ${reason}, and loses nothing when it recovers`, async () => {
      const { jwe } = await seal(pair.privateKey, place(), keks);
      plugin.behave(mode);
      const ill = newProvider();
      const error = await problem(ill);
      expect(error.reason).to.equal(reason);
      expect(error.message).to.include(says);
      expect(error.message).to.not.include('fire').and.not.include('not allowed');
      plugin.behave('ok');
      await clock.advance(3 * minute);
      expect(await opens(jwe, ill)).to.equal(true);
      expect((await ill.sealingKey()).id).to.equal(kekIDOf('kek-1'));
    });
  }
});

async function eventually(probe: () => Promise<boolean>): Promise<boolean> {
  for (const deadline = Date.now() + 60_000; ;) {
    try {
      return await probe();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
