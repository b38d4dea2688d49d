import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { on, once } from 'node:events';
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { expect } from 'chai';
import type { KeyPair } from '../../../src/crypto/key-pair.ts';
import { encryptFor } from '../../../src/controller/secrets/recipient.ts';
import {
  type Delivery,
  type KeyDirectory,
  KeyDirectoryError,
  type KeyDirectoryErrorCode,
  type KeyDirectoryOptions,
  openKeyDirectory,
} from '../../../tool/typescript/src/tool-keys.ts';
import { files, jwkText, keyPairs, Mount, registration } from '../../fixtures/mount.ts';

const [first, second, third] = await keyPairs;

describe('The key directory of a tool', () => {
  let mount: Mount;
  let directory: KeyDirectory | undefined;
  beforeEach(() => {
    mount = new Mount();
  });
  afterEach(() => {
    directory?.close();
    directory = undefined;
    mount.remove();
  });

  const open = async (options?: KeyDirectoryOptions): Promise<KeyDirectory> => {
    directory = await openKeyDirectory(mount.path, options);
    return directory;
  };
  const nextChange = (of: KeyDirectory): Promise<Delivery> => new Promise((resolve) => of.onChange(resolve));
  const nextFault = (of: KeyDirectory): Promise<KeyDirectoryError | undefined> =>
    new Promise((resolve) => of.onFault(resolve));

  const openFault = async (options?: KeyDirectoryOptions): Promise<KeyDirectoryError> => {
    const outcome: unknown = await open(options).catch((error: unknown) => error);
    if (!(outcome instanceof KeyDirectoryError)) throw new Error('the directory opened');
    return outcome;
  };

  it('A tool reads the key, its ID, the public JWK, the registration and the published keys', async () => {
    mount.swap(files(first));
    const current = (await open()).current();
    expect(current.keyID).to.equal(first.keyID);
    expect(current.privateKey.equals(first.privateKey)).to.equal(true);
    expect(current.jwk).to.deep.equal(first.publicJWK);
    expect(current.registration).to.deep.equal(registration);
    expect(current.jwks).to.deep.equal([first.publicJWK]);
  });

  it('A tool signs with private.jwk and registration.json alone', async () => {
    const { 'private.jwk': jwk = '', 'registration.json': entry = '' } = files(first);
    mount.swap({ 'private.jwk': jwk, 'registration.json': entry });
    const current = (await open()).current();
    expect(current.keyID).to.equal(first.keyID);
    expect(current.jwks).to.deep.equal([first.publicJWK]);
  });

  describe('A bundle', () => {
    const bundled = (canvas: KeyPair, moodle: KeyPair): Record<string, string> =>
      Object.fromEntries(
        Object.entries({ canvas, 'canvas.private': moodle }).flatMap(([owner, key]) =>
          Object.entries(files(key)).map(([name, text]) => [`${owner}.${name}`, text]),
        ),
      );

    it('A bundle opens for each of its registrations, and only what changed is reported', async () => {
      mount.swap(bundled(first, second));
      const opened = await open({ registration: 'canvas', pollInterval: 20 });
      const other = await openKeyDirectory(mount.path, { registration: 'canvas.private', pollInterval: 20 });
      try {
        expect([opened.current().keyID, other.current().keyID]).to.deep.equal([first.keyID, second.keyID]);
        const before = opened.current();
        const change = nextChange(other);
        mount.swap(bundled(first, third));
        expect((await change).keyID).to.equal(third.keyID);
        await opened.refresh();
        expect(opened.current()).to.equal(before);
      } finally {
        other.close();
      }
    });

    it('A registration that is not in the bundle gives an error that names its files', async () => {
      mount.swap(bundled(first, second));
      const fault = await openFault({ registration: 'moodle' });
      expect(fault).to.include({ code: 'DirectoryMissing' });
      expect(fault.message).to.include('moodle.');
      const outside: unknown = await open({ registration: '../canvas' }).catch((error: unknown) => error);
      expect(outside).to.be.instanceOf(TypeError);
    });
  });

  it('A directory without ..data, as on a laptop, is followed as well', async () => {
    const write = (key: KeyPair): void => {
      for (const [name, text] of Object.entries(files(key))) writeFileSync(join(mount.path, name), text);
    };
    write(first);
    const opened = await open({ pollInterval: 20 });
    const change = nextChange(opened);
    write(second);
    expect((await change).keyID).to.equal(second.keyID);
  });

  for (const [how, options] of [
    ['a watch of the directory', { pollInterval: 3_600_000 }],
    ['polling alone', { pollInterval: 20, watch: false }],
  ] as const) {
    it(`A swap is seen through ${how}, again and again`, async () => {
      mount.swap(files(first));
      const opened = await open(options);
      for (const key of [second, third, first]) {
        const change = nextChange(opened);
        mount.swap(files(key));
        expect((await change).keyID).to.equal(key.keyID);
        expect(opened.current().keyID).to.equal(key.keyID);
      }
    });
  }

  it('Reads under swaps never meet a key with the ID of another one, and never a fault', async () => {
    mount.swap(files(first));
    const opened = await open();
    const faults: unknown[] = [];
    opened.onFault((fault) => faults.push(fault));
    let changes = 0;
    opened.onChange(() => changes++);
    const keyOf = new Map([first, second, third].map((key) => [key.keyID, key]));
    const matching = new WeakSet<Delivery>();
    let [reads, mismatches, swaps] = [0, 0, 0];
    const until = performance.now() + 3000;
    let nextSwap = 0;
    while (performance.now() < until) {
      if (performance.now() >= nextSwap) {
        nextSwap = performance.now() + 100;
        mount.swap(files([second, third, first][swaps++ % 3] ?? first));
      }
      for (let i = 0; i < 20_000; i++) {
        const current = opened.current();
        reads++;
        if (matching.has(current)) continue;
        const key = keyOf.get(current.keyID);
        if (key?.privateKey.equals(current.privateKey) && key.publicJWK.n === current.jwk.n) matching.add(current);
        else mismatches++;
      }
      await setImmediate();
    }
    expect({ mismatches, faults }).to.deep.equal({ mismatches: 0, faults: [] });
    expect(reads).to.be.greaterThan(100_000);
    expect(changes).to.be.greaterThan(3);
  });

  it('Opening under swaps pins one version', async () => {
    mount.swap(files(first));
    for (let round = 0; round < 50; round++) {
      const opening = openKeyDirectory(mount.path, { watch: false });
      // Between its reads.
      if (round % 2 === 1) await setImmediate();
      const key = [second, third, first][round % 3] ?? first;
      mount.swap(files(key));
      const opened = await opening;
      await opened.refresh();
      expect(opened.current().keyID).to.equal(key.keyID);
      opened.close();
    }
  });

  describe('A delivery for a recipient', () => {
    const algorithms = [
      ['RSA-OAEP-256', () => generateKeyPairSync('rsa', { modulusLength: 2048 })],
      ['ECDH-ES+A256KW', () => generateKeyPairSync('ec', { namedCurve: 'P-256' })],
      ['ECDH-ES', () => generateKeyPairSync('x25519')],
    ] as const;
    const encrypted = async (key: KeyPair, alg: string, publicKey: object): Promise<Record<string, string>> => {
      const { 'private.jwk': jwk = '', 'private.pem': _, ...others } = files(key);
      const recipient = { jwk: { alg }, key: publicKey, thumbprint: '' } as Parameters<typeof encryptFor>[0];
      return { ...others, 'private.jwe': await encryptFor(recipient, jwk) };
    };

    for (const [alg, generate] of algorithms) {
      it(`A recipient with ${alg} opens it with a KeyObject or a JWK`, async () => {
        const { publicKey, privateKey } = generate();
        mount.swap(await encrypted(first, alg, publicKey));
        for (const recipientKey of [privateKey, privateKey.export({ format: 'jwk' })]) {
          const opened = await open({ recipientKey });
          expect(opened.current().privateKey.equals(first.privateKey)).to.equal(true);
          opened.close();
        }
      });

      it(`Another recipient than that with ${alg} gets a typed error`, async () => {
        mount.swap(await encrypted(first, alg, generate().publicKey));
        expect(await openFault({ recipientKey: generate().privateKey })).to.include({ code: 'RecipientMismatch' });
        expect(await openFault()).to.include({ code: 'RecipientKeyMissing' });
      });
    }
  });

  describe('A directory that cannot be used', () => {
    const cases: readonly (readonly [
      string,
      KeyDirectoryErrorCode,
      string,
      () => Record<string, string | undefined>,
    ])[] = [
      ['has no file', 'DirectoryMissing', '', () => ({})],
      [
        'has half a private.jwk',
        'FileMalformed',
        'private.jwk',
        () => changed('private.jwk', (text) => text.slice(0, 900)),
      ],
      ['has an empty private.jwk', 'FileMalformed', 'private.jwk', () => changed('private.jwk', () => '')],
      [
        'has half a registration.json',
        'FileMalformed',
        'registration.json',
        () => changed('registration.json', (text) => text.slice(0, 40)),
      ],
      [
        'has a registration.json of another shape',
        'FileMalformed',
        'registration.json',
        () => changed('registration.json', () => '{"issuer":1}'),
      ],
      [
        'has no registration.json',
        'FileMissing',
        'registration.json',
        () => changed('registration.json', () => undefined),
      ],
      [
        'has no private.jwk although a key signs',
        'FileMissing',
        'private.jwk',
        () => ({ 'registration.json': JSON.stringify({ ...registration, kid: first.keyID }) }),
      ],
      [
        'has the registration.json of another version',
        'FilesDisagree',
        'registration.json',
        () => changed('registration.json', () => JSON.stringify({ ...registration, kid: second.keyID })),
      ],
      ['has a JWKS without keys', 'FileMalformed', 'jwks.json', () => changed('jwks.json', () => '{}')],
      ['has the kid of another version', 'FilesDisagree', 'kid', () => changed('kid', () => second.keyID)],
      [
        'has the public.pem of another version',
        'FilesDisagree',
        'public.pem',
        () => changed('public.pem', () => files(second)['public.pem']),
      ],
      [
        'has the jwks.json of another version',
        'FilesDisagree',
        'jwks.json',
        () => changed('jwks.json', () => files(second)['jwks.json']),
      ],
      [
        'has a foreign key under the right ID',
        'FilesDisagree',
        'public.pem',
        () => changed('private.jwk', () => jwkText({ keyID: first.keyID, privateKey: second.privateKey })),
      ],
      [
        'has a private half of another key',
        'FileMalformed',
        'private.jwk',
        () =>
          changed('private.jwk', (text) =>
            JSON.stringify({ ...(JSON.parse(jwkText(second)) as object), n: (JSON.parse(text) as { n: string }).n }),
          ),
      ],
      [
        'has a private.jwk without a private half',
        'FileMalformed',
        'private.jwk',
        () => changed('private.jwk', () => JSON.stringify(first.publicJWK)),
      ],
      [
        'has no key',
        'NoSigningKey',
        'private.jwk',
        () => {
          const { 'jwks.json': jwks, 'registration.json': json } = files(first);
          return { 'jwks.json': jwks, 'registration.json': json };
        },
      ],
    ];
    const changed = (
      name: string,
      change: (text: string) => string | undefined,
    ): Record<string, string | undefined> => ({
      ...files(first),
      [name]: change(files(first)[name] ?? ''),
    });
    const written = (content: Record<string, string | undefined>): Record<string, string> =>
      Object.fromEntries(Object.entries(content).flatMap(([name, text]) => (text === undefined ? [] : [[name, text]])));

    const expectNoSecret = ({ message, stack = '', cause }: Error): void => {
      const text = `${message} ${stack}`;
      for (const key of [first, second]) {
        const { d, p, q } = key.privateKey.export({ format: 'jwk' });
        for (const secret of [d, p, q]) expect(text).not.to.include((secret ?? '').slice(0, 16));
      }
      expect(cause).to.equal(undefined);
    };

    for (const [what, code, file, content] of cases) {
      it(`A directory that ${what} gives a typed error at start that names the file and reveals nothing`, async () => {
        mount.swap(written(content()));
        const error = await openFault();
        expect(error.code).to.equal(code);
        expect(error.file).to.equal(join(mount.path, file));
        expect(error.message).to.include(error.file).and.to.include(error.remedy);
        expectNoSecret(error);
      });
    }

    it('A path that does not exist, or is a file, gives a typed error at start', async () => {
      mount.swap(files(first));
      for (const path of ['missing', 'private.jwk']) {
        const error: unknown = await openKeyDirectory(join(mount.path, path)).catch((e: unknown) => e);
        expect(error).to.be.instanceOf(KeyDirectoryError);
        expect((error as KeyDirectoryError).remedy).to.equal('mount the delivery Secret as a directory at this path');
      }
    });

    const unusable: readonly (readonly [string, KeyDirectoryErrorCode, string, (path: string) => void])[] = [
      ['is a directory', 'FileUnreadable', 'it is not a regular file', (path) => mkdirSync(path)],
      ['is a pipe', 'FileUnreadable', 'it is not a regular file', (path) => void execFileSync('mkfifo', [path])],
      [
        'is larger than a Secret can be',
        'FileMalformed',
        'larger than 1 MiB',
        (path) => {
          writeFileSync(path, '{');
          truncateSync(path, 2 ** 20 + 1);
        },
      ],
    ];
    for (const [what, code, text, make] of unusable) {
      it(`A private.jwk that ${what} gives a typed error at start`, async () => {
        const { 'private.jwk': _, ...others } = files(first);
        mount.swap(others);
        make(join(mount.path, '..data', 'private.jwk'));
        const error = await openFault();
        expect(error).to.include({ code, file: join(mount.path, 'private.jwk') });
        expect(error.message).to.include(text);
      });
    }

    it('A listener that throws or rejects is a warning of the process, and stops neither the key nor another listener', async () => {
      mount.swap(files(first));
      const opened = await open({ pollInterval: 3_600_000 });
      const warnings = on(process, 'warning') as AsyncIterable<[Error]>;
      opened.onChange(() => {
        throw new Error('the first listener failed');
      });
      opened.onChange(async () => {
        throw new Error('the second listener failed');
      });
      const change = nextChange(opened);
      mount.swap(files(second));
      await opened.refresh();
      expect((await change).keyID).to.equal(second.keyID);
      const expected = new Set(['the first listener failed', 'the second listener failed']);
      for await (const [{ message }] of warnings) {
        for (const text of expected) if (message.includes(text)) expected.delete(text);
        if (expected.size === 0) break;
      }
      expect(opened.current().keyID).to.equal(second.keyID);
    });

    it('The warning about a listener has no members of its error, which may be a signed request, and no other value', async () => {
      mount.swap(files(first));
      const opened = await open({ pollInterval: 3_600_000 });
      const warnings = on(process, 'warning') as AsyncIterable<[Error]>;
      const request = { data: 'client_assertion=eyJ' };
      opened.onChange(() => Promise.reject(Object.assign(new Error('refused'), { request })));
      opened.onChange(() => Promise.reject(Object.assign(Object.create(null), { request })));
      mount.swap(files(second));
      await opened.refresh();
      const told: string[] = [];
      for await (const [{ message }] of warnings) {
        if (message.startsWith('a listener failed')) told.push(message);
        if (told.length === 2) break;
      }
      expect(told.join()).to.include('refused').and.not.to.include('client_assertion');
    });

    it('A fault in use leaves the last good key with its age, and the end of the fault brings the new key', async () => {
      mount.swap(files(first));
      const opened = await open({ pollInterval: 20 });
      expect(opened.fault()).to.equal(undefined);
      const began = nextFault(opened);
      mount.swap(written(changed('private.jwk', (text) => text.slice(0, 900))));
      expect(await began).to.include({ code: 'FileMalformed' });
      expect(opened.current().keyID).to.equal(first.keyID);
      while (opened.age() < 0.1) await setTimeout(10);
      expect(opened.fault()).to.include({ code: 'FileMalformed' });
      const [ended, change] = [nextFault(opened), nextChange(opened)];
      mount.swap(files(second));
      expect((await change).keyID).to.equal(second.keyID);
      expect(await ended).to.equal(undefined);
      expect(opened.fault()).to.equal(undefined);
    });

    it('Without a listener, a fault is a warning of the process that names the file, the key in use and its age', async () => {
      mount.swap(files(first));
      const opened = await open({ pollInterval: 3_600_000 });
      const warned = once(process, 'warning');
      mount.swap(written(changed('private.jwk', (text) => text.slice(0, 900))));
      await opened.refresh();
      const [warning] = (await warned) as [Error];
      expect(warning.name).to.equal('KeyDirectoryWarning');
      expect(warning.message)
        .to.include(join(mount.path, 'private.jwk'))
        .and.to.include(`the key ${first.keyID} stays in use, last confirmed 0 s ago`);
      expectNoSecret(warning);
    });

    it('A directory that disappears in use leaves the last good key', async () => {
      mount.swap(files(first));
      const opened = await open({ pollInterval: 20 });
      const began = nextFault(opened);
      rmSync(mount.path, { recursive: true });
      expect(await began).to.include({ code: 'DirectoryMissing' });
      expect(opened.current().keyID).to.equal(first.keyID);
    });

    it('A key that the operator withdrew is not used any longer, until there is another one', async () => {
      mount.swap(files(first));
      const opened = await open({ pollInterval: 20 });
      const { 'jwks.json': jwks = '', 'registration.json': json = '' } = files(first);
      const began = nextFault(opened);
      mount.swap({ 'jwks.json': jwks, 'registration.json': json });
      expect(await began).to.include({ code: 'NoSigningKey' });
      expect(() => opened.current())
        .to.throw(KeyDirectoryError)
        .with.property('code', 'NoSigningKey');
      const change = nextChange(opened);
      mount.swap(files(second));
      expect((await change).keyID).to.equal(second.keyID);
      expect(opened.current().keyID).to.equal(second.keyID);
    });

    it('A closed directory gives no key', async () => {
      mount.swap(files(first));
      const opened = await open();
      opened.close();
      expect(() => opened.current())
        .to.throw(KeyDirectoryError)
        .with.property('code', 'Closed');
      await opened.refresh();
      expect(() => opened.current()).to.throw(KeyDirectoryError);
    });
  });
});
