import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { runCli } from '../../../src/cli/program.ts';
import type { Terminal } from '../../../src/cli/terminal.ts';
import {
  check,
  type KeySource,
  openKeyDirectory,
  refreshPlatformCache,
  signClientAssertion,
} from '../../../tool/typescript/src/tool-keys.ts';
import { fakeTerminal } from '../../fakes/fake-terminal.ts';
import { TravelClock } from '../../fakes/travel-clock.ts';
import { TypedKeys } from '../../fakes/typed-keys.ts';
import { eventually } from '../../fixtures/command.ts';

describe('kubectl lti dev', () => {
  let folder: string;
  let directory: string;
  let interrupt: AbortController;
  let running: Promise<unknown>;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'dev-'));
    directory = join(folder, 'lti', 'canvas');
    interrupt = new AbortController();
    running = Promise.resolve();
  });

  afterEach(async () => {
    interrupt.abort();
    await running;
    rmSync(folder, { recursive: true });
  });

  /** Starts the command; `given` replaces parts of the terminal. */
  function dev(args: readonly string[] = [], given: Partial<Terminal> = {}) {
    const terminal = fakeTerminal({ signal: interrupt.signal, ...given });
    const code = runCli(['dev', 'canvas', '--directory', directory, '--port', '0', ...args], terminal);
    running = code;
    const says = (text: string | RegExp, times = 1): Promise<unknown> =>
      eventually(`the output says ${text}: ${terminal.output()}${terminal.errors()}`, () => {
        const found = terminal.output().match(new RegExp(text, 'g'));
        return (found?.length ?? 0) >= times;
      });
    const jwksURL = async (): Promise<URL> => {
      await says('JWKS URL');
      return new URL(/JWKS URL: +(\S+)/.exec(terminal.output())?.[1] ?? '');
    };
    return { terminal, code, says, jwksURL };
  }

  const readJSON = (name: string): Record<string, unknown> =>
    JSON.parse(readFileSync(join(directory, name), 'utf8')) as Record<string, unknown>;
  const kid = (): string => readFileSync(join(directory, 'kid'), 'utf8');
  const servedIDs = async (url: URL): Promise<string[]> => {
    const { keys } = (await (await fetch(url)).json()) as { keys: { kid: string }[] };
    return keys.map(({ kid: keyID }) => keyID);
  };

  it('A tool that follows the directory signs through two rotations and a revocation, and its tokens verify with the served JWKS', async () => {
    const typed = new TypedKeys();
    const clock = new TravelClock();
    const { code, says, jwksURL } = dev(['--activation-delay', '10s', '--overlap', '1h'], {
      keyPresses: typed.presses,
      clock,
    });
    const url = await jwksURL();
    await says('canvas-1 \\S+ signs');
    const keys = await openKeyDirectory(directory);
    const keySet = createRemoteJWKSet(url, { cooldownDuration: 0, cacheMaxAge: 0 });
    const signed = async (): Promise<string | undefined> => {
      await keys.refresh();
      const token = await signClientAssertion(keys);
      await jwtVerify(token, keySet, { audience: new URL('/token', url).href });
      return decodeProtectedHeader(token).kid;
    };
    const first = await signed();
    expect(await check(keys)).to.deep.equal([]);

    typed.type('r');
    await says('canvas-2 .* is published');
    expect(await signed(), 'during the activation delay').to.equal(first);
    expect(await servedIDs(url)).to.have.length(2);
    clock.jump(10_000);
    await says('canvas-2 \\S+ signs');
    const second = await signed();
    expect(second).not.to.equal(first);

    typed.type('r');
    await says('canvas-3 .* is published');
    typed.type('r');
    await says('canvas-3 \\S+ signs');
    const third = await signed();
    expect(await servedIDs(url)).to.have.members([first, second, third]);
    clock.jump(3_600_000);
    await says('has left the JWKS', 2);
    expect(await servedIDs(url)).to.deep.equal([third]);

    typed.type('v');
    await says('canvas-3 .* is revoked');
    const fourth = await signed();
    expect(await servedIDs(url)).to.deep.equal([fourth]);
    expect(fourth).not.to.equal(third);
    keys.close();
    typed.type('q');
    expect(await code).to.equal(0);
    expect(existsSync(directory)).to.equal(false);
  });

  it('A tool requests access tokens at the token URL, and one that reads its key once is refused after the overlap', async () => {
    const typed = new TypedKeys();
    const clock = new TravelClock();
    const { says } = dev(['--overlap', '1h'], { keyPresses: typed.presses, clock });
    await says('canvas-1 \\S+ signs');
    const keys = await openKeyDirectory(directory);
    const atStart = keys.current();
    const once = { path: directory, current: () => atStart };
    const accepted = async (source: KeySource): Promise<boolean> => (await refreshPlatformCache(source)).accepted;
    typed.type('r');
    await says('canvas-2 .* is published');
    typed.type('r');
    await says('canvas-2 \\S+ signs');
    await keys.refresh();
    expect([await accepted(keys), await accepted(once)]).to.deep.equal([true, true]);
    clock.jump(3_600_000);
    await says('has left the JWKS');
    expect([await accepted(keys), await accepted(once)]).to.deep.equal([true, false]);
    await says('refused a request: its kid is not in the JWKS');
    keys.close();
  });

  it('The directory is one that the kubelet would write, and only the user can read it', async () => {
    const { says, jwksURL } = dev();
    await says('canvas-1 \\S+ signs');
    const visible = readdirSync(directory).filter((name) => !name.startsWith('..'));
    expect(visible).to.have.members([
      'jwks.json',
      'kid',
      'private.jwk',
      'private.pem',
      'public.pem',
      'registration.json',
    ]);
    for (const name of visible) {
      expect(readlinkSync(join(directory, name))).to.equal(`..data/${name}`);
      expect(statSync(join(directory, name)).mode & 0o777).to.equal(0o600);
    }
    const version = readlinkSync(join(directory, '..data'));
    expect(version).to.match(/^\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\.\w+$/);
    for (const path of ['.', version]) expect(statSync(join(directory, path)).mode & 0o777).to.equal(0o700);
    expect(await servedIDs(await jwksURL())).to.deep.equal([kid()]);
    expect(readJSON('registration.json')).to.include({ tool_jwks_uri: (await jwksURL()).href });
  });

  it('A tool on a machine without a terminal gets a rotation at each interval', async () => {
    const clock = new TravelClock();
    const { says, terminal } = dev(['--rotate-every', '30s', '--activation-delay', '0s', '--overlap', '40s'], {
      clock,
    });
    await says('canvas-1 \\S+ signs');
    for (const name of ['canvas-2', 'canvas-3', 'canvas-4']) {
      clock.jump(30_000);
      await says(`${name} \\S+ signs`);
    }
    await says('has left the JWKS', 2);
    expect(terminal.errors())
      .to.match(/^WARNING: Keys for development only/)
      .and.not.include('no terminal');
  });

  it('A command without a terminal and without an interval says that the key stays', async () => {
    const { says, terminal } = dev();
    await says('canvas-1 \\S+ signs');
    expect(terminal.errors()).to.include('without --rotate-every, the key stays the same');
  });

  it('An interrupted command deletes the keys and exits with 130', async () => {
    const { says, code } = dev();
    await says('canvas-1 \\S+ signs');
    interrupt.abort();
    expect(await code).to.equal(130);
    expect(existsSync(directory)).to.equal(false);
  });

  it('An empty directory that was there before stays, without the keys', async () => {
    mkdirSync(directory, { recursive: true });
    const { says } = dev();
    await says('canvas-1 \\S+ signs');
    interrupt.abort();
    await running;
    expect(readdirSync(directory)).to.deep.equal([]);
  });

  it('With --keep the directory stays, and the next run takes it with new keys', async () => {
    const first = dev(['--keep']);
    await first.says('canvas-1 \\S+ signs');
    const keyID = kid();
    interrupt.abort();
    await running;
    expect(kid()).to.equal(keyID);
    expect(first.terminal.errors()).to.include(`The keys remain in ${directory}`);
    interrupt = new AbortController();
    const second = dev();
    await second.says('canvas-1 \\S+ signs');
    expect(kid()).not.to.equal(keyID);
    expect(readdirSync(directory).filter((name) => /^\.\.\d/.test(name))).to.have.length(1);
  });

  const foreign: readonly (readonly [string, () => void, string])[] = [
    ['has a file of the user', () => writeFileSync(join(directory, 'notes.txt'), 'mine'), 'is not empty'],
    [
      'has a file of the user beside those of an earlier run',
      () => {
        writeFileSync(join(directory, '..kubectl-lti-dev'), '');
        writeFileSync(join(directory, 'notes.txt'), 'mine');
      },
      'has notes.txt',
    ],
    ['is a mount of a kubelet', () => symlinkSync('..2026', join(directory, '..data')), 'is not empty'],
  ];
  for (const [what, prepare, message] of foreign) {
    it(`A directory that ${what} is refused and stays as it is`, async () => {
      mkdirSync(directory, { recursive: true });
      prepare();
      const before = readdirSync(directory);
      const { code, terminal } = dev();
      expect(await code).to.equal(1);
      expect(terminal.errors()).to.include(`${directory} ${message}`).and.to.include('nothing was changed');
      expect(readdirSync(directory)).to.deep.equal(before);
    });
  }

  it('A file in the place of the directory is refused', async () => {
    mkdirSync(join(folder, 'lti'));
    writeFileSync(directory, 'mine');
    const { code, terminal } = dev();
    expect(await code).to.equal(1);
    expect(terminal.errors()).to.include(`${directory} cannot be used as the delivery directory (EEXIST)`);
    expect(readFileSync(directory, 'utf8')).to.equal('mine');
  });

  it('A second command in the same directory ends the first one at its next write', async () => {
    const typed = new TypedKeys();
    const first = dev([], { keyPresses: typed.presses });
    await first.says('canvas-1 \\S+ signs');
    const second = dev();
    await second.says('canvas-1 \\S+ signs');
    const keyID = kid();
    typed.type('r');
    expect(await first.code).to.equal(1);
    expect(first.terminal.errors()).to.include(`another process writes ${directory}`);
    expect(kid()).to.equal(keyID);
  });

  it('A port that is taken is refused before the directory is created', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const address = other.address();
    const port = typeof address === 'object' ? String(address?.port) : '';
    const { code, terminal } = dev(['--port', port]);
    expect(await code).to.equal(1);
    expect(terminal.errors()).to.include(`127.0.0.1:${port}: EADDRINUSE: choose another port with --port`);
    expect(existsSync(directory)).to.equal(false);
    await new Promise((resolve) => other.close(resolve));
  });

  it('registration.json has what the options say, and else what the given file says', async () => {
    const given = {
      issuer: 'https://canvas.instructure.com',
      client_id: '42',
      token_endpoint: 'https://sso.canvaslms.com/login/oauth2/token',
      token_audience: 'urn:audience',
      deployment_ids: ['1:abc'],
      tool_jwks_uri: 'https://keys.example.org/registrations/gradebook/canvas/jwks.json',
      unknown: {},
    };
    writeFileSync(join(folder, 'given.json'), JSON.stringify(given));
    const overridden = '--client-id 43 --deployment-id 1 --deployment-id 2 --jwks-uri http://127.0.0.1:8000/jwks';
    const { says, jwksURL } = dev(['--registration-json', join(folder, 'given.json'), ...overridden.split(' ')]);
    await says('canvas-1 \\S+ signs');
    const { issuer, token_endpoint, token_audience } = given;
    expect(readJSON('registration.json')).to.deep.include({
      issuer,
      token_endpoint,
      token_audience,
      client_id: '43',
      deployment_ids: ['1', '2'],
      jwks_uri: 'http://127.0.0.1:8000/jwks',
      tool_jwks_uri: (await jwksURL()).href,
    });
  });

  const faulty: readonly (readonly [string, string])[] = [
    ['{', 'is not JSON'],
    ['[]', 'is not a JSON object'],
    ['{}', 'has no issuer'],
    ['{"issuer":"https://a.example","client_id":42}', 'has a member client_id that is not a string'],
    [
      '{"issuer":"https://a.example","deployment_ids":"1"}',
      'has a member deployment_ids that is not a list of strings',
    ],
  ];
  for (const [text, message] of faulty) {
    it(`A registration.json that ${message} is refused`, async () => {
      const file = join(folder, 'given.json');
      writeFileSync(file, text);
      const { code, terminal } = dev(['--registration-json', file]);
      expect(await code).to.equal(1);
      expect(terminal.errors()).to.include(`${file} ${message}`);
      expect(existsSync(directory)).to.equal(false);
    });
  }

  const wrong: readonly (readonly [readonly string[], string])[] = [
    [['--port', '70000'], '--port: "70000" is not a port'],
    [['--overlap', 'soon'], '--overlap: "soon" is not a duration'],
    [['--rotate-every', '0s'], '--rotate-every must be at least 1s'],
    [['--namespace', '../other'], '--namespace: "../other" is not a name of Kubernetes'],
  ];
  for (const [args, message] of wrong) {
    it(`The command line ${args.join(' ')} is refused`, async () => {
      const { code, terminal } = dev(args);
      expect(await code).to.equal(2);
      expect(terminal.errors()).to.include(message);
    });
  }
});
