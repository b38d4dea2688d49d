import { on } from 'node:events';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { expect } from 'chai';
import type { KeyPair } from '../../../src/crypto/key-pair.ts';
import { DeliveredKeys, type LtijsDatabase } from '../../../tool/typescript/src/ltijs.ts';
import {
  type DeliveredKey,
  type KeyBundle,
  KeyDirectoryError,
  openKeyBundle,
  openKeyDirectory,
  signClientAssertion,
} from '../../../tool/typescript/src/tool-keys.ts';
import { bundleFiles, files, keyPairs, Mount, neededFiles, registration } from '../../fixtures/mount.ts';

const [first, second, third] = await keyPairs;

describe('The key bundle of a tool', () => {
  let mount: Mount;
  let opened: KeyBundle | undefined;
  beforeEach(() => {
    mount = new Mount();
  });
  afterEach(() => {
    opened?.close();
    opened = undefined;
    mount.remove();
  });

  type Members = Readonly<Record<string, KeyPair | Readonly<Record<string, string>>>>;
  const bundled = (members: Members): Record<string, string> =>
    bundleFiles(
      Object.fromEntries(
        Object.entries(members).map(([owner, member]) => [
          owner,
          'keyID' in member && 'privateKey' in member ? neededFiles(member as KeyPair) : member,
        ]),
      ),
    );
  const open = async (members: Members): Promise<KeyBundle> => {
    mount.swap(bundled(members));
    // No look happens unless the test or the watch asks for it.
    opened = await openKeyBundle(mount.path, { pollInterval: 3_600_000 });
    return opened;
  };
  /** The message of the first warning of the process that has this text. */
  const warningAbout = async (text: string): Promise<string> => {
    for await (const [warning] of on(process, 'warning') as AsyncIterable<[Error]>) {
      if (warning.message.includes(text)) return warning.message;
    }
    throw new Error('unreachable');
  };
  const keyIDs = (bundle: KeyBundle): Record<string, string> =>
    Object.fromEntries([...bundle].map((key) => [key.registration, key.current().keyID]));
  const swap = async (bundle: KeyBundle, members: Members): Promise<void> => {
    mount.swap(bundled(members));
    await bundle.refresh();
  };

  it('A registration that is added to the bundle appears, and a swap changes what changed and nothing else', async () => {
    const bundle = await open({ canvas: first, 'canvas.private': second });
    expect(keyIDs(bundle)).to.deep.equal({ canvas: first.keyID, 'canvas.private': second.keyID });
    expect(bundle.get('moodle')).to.equal(undefined);
    const [canvas, other] = [bundle.get('canvas')!, bundle.get('canvas.private')!];
    const before = canvas.current();
    const reported: unknown[] = [];
    bundle.onChange((key, current, previous) =>
      reported.push([key.registration, current.keyID, previous?.keyID ?? 'none']),
    );
    other.onChange((current, previous) => reported.push(['canvas.private', current.keyID, previous.keyID]));
    await swap(bundle, { canvas: first, 'canvas.private': third, moodle: first });
    await setImmediate();
    expect(reported).to.have.deep.members([
      ['canvas.private', third.keyID, second.keyID],
      ['canvas.private', third.keyID, second.keyID],
      ['moodle', first.keyID, 'none'],
    ]);
    expect(canvas.current()).to.equal(before);
    expect(other.current().privateKey.equals(third.privateKey)).to.equal(true);
    expect(bundle.get('moodle')?.current().registration).to.deep.equal(registration);
  });

  it('In a bundle of hundreds of registrations, the watch sees the swap that changes one of them', async () => {
    const members = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`lms-${index}`, first]));
    const bundle = await open(members);
    const changed = new Promise<DeliveredKey>((resolve) => bundle.onChange(resolve));
    mount.swap(bundled({ ...members, 'lms-7': second }));
    expect((await changed).registration).to.equal('lms-7');
    const expected = Object.fromEntries(Object.keys(members).map((name) => [name, first.keyID]));
    expect(keyIDs(bundle)).to.deep.equal({ ...expected, 'lms-7': second.keyID });
  });

  it('Reads under swaps never meet a key with the ID of another one', async () => {
    const keys = [first, second, third];
    const bundle = await open({ canvas: first, moodle: second });
    const keyOf = new Map(keys.map((key) => [key.keyID, key]));
    let changes = 0;
    bundle.onChange((_, { keyID, privateKey }) => {
      changes++;
      expect(keyOf.get(keyID)?.privateKey.equals(privateKey)).to.equal(true);
    });
    for (let round = 1; round <= 30; round++) {
      mount.swap(bundled({ canvas: keys[round % 3]!, moodle: keys[(round + 1) % 3]! }));
      const looked = bundle.refresh();
      if (round % 2 === 0) await looked;
      for (const key of bundle) expect(key.fault()).to.equal(undefined);
    }
    await bundle.refresh();
    expect(keyIDs(bundle)).to.deep.equal({ canvas: first.keyID, moodle: second.keyID });
    expect(changes).to.be.greaterThan(15);
  });

  it('A registration without a usable key stops no other one, and gets its key when there is one', async () => {
    const half = { ...neededFiles(second), 'private.jwk': neededFiles(second)['private.jwk']!.slice(0, 900) };
    const { 'registration.json': entry = '' } = files(third);
    const warned = warningAbout('moodle.private.jwk: it is not a JSON object');
    const bundle = await open({ canvas: first, moodle: half, sakai: { 'registration.json': entry } });
    expect(await warned).to.not.include('"d"');
    expect(bundle.get('canvas')?.current().keyID).to.equal(first.keyID);
    for (const [name, code] of [
      ['moodle', 'FileMalformed'],
      ['sakai', 'NoSigningKey'],
    ] as const) {
      expect(() => bundle.get(name)?.current())
        .to.throw(KeyDirectoryError)
        .with.property('code', code);
    }
    await swap(bundle, { canvas: half, moodle: second, sakai: third });
    expect(keyIDs(bundle)).to.deep.equal({ canvas: first.keyID, moodle: second.keyID, sakai: third.keyID });
    expect(bundle.get('canvas')?.fault()).to.include({ code: 'FileMalformed' });
    expect(bundle.get('moodle')?.fault()).to.equal(undefined);
  });

  it('A registration that leaves the bundle keeps its last good key with a fault, until it returns', async () => {
    const bundle = await open({ canvas: first, moodle: second });
    const moodle = bundle.get('moodle')!;
    const faults: (string | undefined)[] = [];
    moodle.onFault((fault) => faults.push(fault?.code));
    await swap(bundle, { canvas: first });
    expect(moodle.current().keyID).to.equal(second.keyID);
    expect(moodle.fault()?.message).to.include('begins with moodle.');
    await swap(bundle, { canvas: first, moodle: second });
    await setImmediate();
    expect(faults).to.deep.equal(['DirectoryMissing', undefined]);
    expect(bundle.get('moodle')).to.equal(moodle);
  });

  it('A directory that disappears in use is one warning for all registrations, which keep their keys until it returns', async () => {
    const bundle = await open({ canvas: first, moodle: second });
    const warnings: string[] = [];
    const listener = ({ message }: Error): void => {
      if (message.includes(mount.path)) warnings.push(message);
    };
    process.on('warning', listener);
    try {
      renameSync(mount.path, `${mount.path}-gone`);
      await bundle.refresh();
      await bundle.refresh();
      await setImmediate();
      expect(bundle.fault()).to.include({ code: 'DirectoryMissing' });
      expect(bundle.get('moodle')?.fault()).to.equal(bundle.fault());
      expect(keyIDs(bundle)).to.deep.equal({ canvas: first.keyID, moodle: second.keyID });
      expect(warnings).to.deep.equal([`${bundle.fault()?.message}; the last good keys stay in use`]);
    } finally {
      process.off('warning', listener);
      renameSync(`${mount.path}-gone`, mount.path);
    }
    await swap(bundle, { canvas: third, moodle: second });
    expect([bundle.fault(), bundle.get('moodle')?.fault()]).to.deep.equal([undefined, undefined]);
    expect(keyIDs(bundle)).to.deep.equal({ canvas: third.keyID, moodle: second.keyID });
  });

  it('An empty bundle opens, and a directory that does not exist is a typed error', async () => {
    const bundle = await open({});
    expect([...bundle]).to.deep.equal([]);
    await swap(bundle, { canvas: first });
    expect(keyIDs(bundle)).to.deep.equal({ canvas: first.keyID });
    const outcome: unknown = await openKeyBundle(join(mount.path, 'missing')).catch((error: unknown) => error);
    expect(outcome).to.be.instanceOf(KeyDirectoryError).with.property('code', 'DirectoryMissing');
  });

  it('A closed bundle gives no key', async () => {
    const bundle = await open({ canvas: first });
    const canvas = bundle.get('canvas')!;
    bundle.close();
    expect(() => canvas.current())
      .to.throw(KeyDirectoryError)
      .with.property('code', 'Closed');
  });

  it('The error of a registration that is not complete names its file in the bundle', async () => {
    const entry = { 'registration.json': '{"issuer":"https://lms.example.org"}' };
    const bundle = await open({ canvas: { ...neededFiles(first), ...entry } });
    const directory = await openKeyDirectory(mount.path, { registration: 'canvas', watch: false });
    try {
      for (const source of [bundle.get('canvas')!, directory]) {
        const outcome: unknown = await signClientAssertion(source).catch((error: unknown) => error);
        expect(outcome).to.include({ code: 'RegistrationIncomplete' });
        expect((outcome as Error).message).to.include(join(mount.path, 'canvas.registration.json'));
      }
    } finally {
      directory.close();
    }
  });

  it('A registration is found by issuer and client ID, as soon as it has a key', async () => {
    const entry = (client_id: string): Record<string, string> => ({
      'registration.json': JSON.stringify({ ...registration, client_id }),
    });
    const members = { canvas: { ...neededFiles(first), ...entry('1') }, moodle: entry('2') };
    const bundle = await open(members);
    const find = (clientID: string): string | undefined => bundle.find(registration.issuer, clientID)?.registration;
    expect([find('1'), find('2'), find('3')]).to.deep.equal(['canvas', undefined, undefined]);
    await swap(bundle, { ...members, moodle: { ...neededFiles(second), ...entry('2') } });
    expect(find('2')).to.equal('moodle');
    expect(bundle.find('https://other.example', '2')).to.equal(undefined);
  });

  it('ltijs finds the platform of a registration that the bundle got later', async () => {
    const bundle = await open({});
    const database = { Get: () => Promise.resolve(false as const) } as unknown as LtijsDatabase;
    const plugin = new DeliveredKeys(database, bundle);
    const query = { platformUrl: registration.issuer, clientId: registration.client_id };
    expect(await plugin.Get(false, 'platform', query)).to.equal(false);
    await swap(bundle, { canvas: first });
    expect(await plugin.Get(false, 'platform', query)).to.have.nested.property('[0].kid', first.keyID);
  });
});
