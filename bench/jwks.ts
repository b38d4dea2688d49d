import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../dev/control-plane/ports.ts';
import { jwksContainer } from '../dev/jwks-container.ts';
import { registrationPath } from '../src/api/names.ts';
import { namespaceFile, registrationFile } from '../src/documents/document-names.ts';
import { Child } from './jwks-child.ts';
import { createLive } from './jwks-live.ts';

/** Many short rounds: on a machine that others use too, neighbors in time are alike. */
const rounds = 40;
const roundMs = 200;
const warmUpMs = 4000;
const manyRegistrations = 10_000;
const namespaces = 100;

/** The publish directory is in memory, as in the Deployment, if the machine has this folder. */
const memory = '/dev/shm';

/** Requests per second and milliseconds, medians over the rounds. */
export interface Rate {
  readonly perSecond: number;
  readonly p99: number;
}

/** Our rate over the other's: the median over pairs of neighboring rounds; 1 is as fast. */
export interface Compared {
  readonly ours: Rate;
  readonly theirs: Rate;
  readonly ratio: number;
}

export interface JwksFigures {
  readonly one200: Compared;
  readonly one304: Compared;
  /** A sidecar with 10,000 registrations; the load requests all of them. */
  readonly many200: Compared;
  readonly many304: Compared;
  /** nginx serving the same file; absent if nginx is not installed. */
  readonly nginx?: Compared;
  /** Memory of the sidecar with 10,000 registrations, after that load. */
  readonly manyMiB: number;
  /** Peak memory of a sidecar while 10,000 registrations are created. */
  readonly liveMiB: number;
  /** Memory of a sidecar with three keys for each of them, after it has read all. */
  readonly manyKeysMiB: number;
}

/**
 * Compares the sidecar, started as in production, with a bare node:http server that sends the same headers and body. Both run on
 * one core, and the load generator on another.
 */
export async function measureJwks(): Promise<JwksFigures> {
  const folder = await mkdtemp(join(existsSync(memory) ? memory : tmpdir(), 'jwks-bench-'));
  const children: Child[] = [];
  const start: Start = (core, args, env, program) => {
    const child = new Child(core, args, env, program);
    children.push(child);
    return child;
  };
  try {
    const liveMiB = await measureLive(start, join(folder, 'live'));
    const load = start(1, [sibling('jwks-load.ts')]);
    const many = await startSidecar(start, join(folder, 'many'), manyRegistrations);
    const one = await startSidecar(start, join(folder, 'one'), 1);
    const paths = [pathOf(0)];
    const all = Array.from({ length: manyRegistrations }, (_, number) => pathOf(number));
    const { status, headers, body } = await answerOf(one.port, pathOf(0));
    const ifNoneMatch = headers['etag'] ?? '';
    const bare = await startBare(start, { status, headers, body });
    const bareUnchanged = await startBare(start, await answerOf(one.port, pathOf(0), ifNoneMatch));
    const against = (port: number, other: number, job: Omit<Target, 'port'>): Promise<Compared> =>
      compare(load, { port, ...job }, { port: other, ...job });
    const many200 = await against(many.port, bare, { paths: all });
    const many304 = await against(many.port, bareUnchanged, { paths: all, ifNoneMatch: '*' });
    const manyMiB = many.child.residentMiB().now;
    await many.child.stop();
    const manyKeys = await startSidecar(start, join(folder, 'many-keys'), manyRegistrations, 3);
    const manyKeysMiB = manyKeys.child.residentMiB().now;
    await manyKeys.child.stop();
    const one200 = await against(one.port, bare, { paths });
    const one304 = await against(one.port, bareUnchanged, { paths, ifNoneMatch });
    const nginx = await startNginx(start, join(folder, 'nginx'), { headers, body });
    const beside = nginx === undefined ? undefined : await against(one.port, nginx, { paths });
    return {
      ...(beside && { nginx: beside }),
      one200,
      one304,
      many200,
      many304,
      liveMiB,
      manyMiB,
      manyKeysMiB,
    };
  } finally {
    await Promise.all(children.map((child) => child.stop()));
    await rm(folder, { recursive: true });
  }
}

type Start = (core: number, args: readonly string[], env?: Readonly<Record<string, string>>, program?: string) => Child;

interface Target {
  readonly port: number;
  readonly paths: readonly string[];
  readonly ifNoneMatch?: string;
}

async function compare(load: Child, first: Target, second: Target): Promise<Compared> {
  const round = async (target: Target, milliseconds: number): Promise<Rate> => {
    load.write({ ...target, milliseconds });
    const { requests, seconds, p99Milliseconds } = JSON.parse(await load.line('requests'));
    return { perSecond: requests / seconds, p99: p99Milliseconds };
  };
  for (const target of [first, second]) await round(target, warmUpMs);
  const [firsts, seconds]: [Rate[], Rate[]] = [[], []];
  for (let index = 0; index < rounds; index += 1) {
    // The order alternates, so that a drift of the machine favours neither.
    const order = index % 2 === 0 ? [firsts, seconds] : [seconds, firsts];
    for (const rates of order) rates.push(await round(rates === firsts ? first : second, roundMs));
  }
  const ratios = firsts.map(({ perSecond }, index) => perSecond / (seconds[index]?.perSecond ?? Number.NaN));
  return { ours: medianRate(firsts), theirs: medianRate(seconds), ratio: median(ratios) };
}

async function startSidecar(
  start: Start,
  directory: string,
  registrations: number,
  keysEach = 1,
): Promise<{ child: Child; port: number }> {
  await mkdir(directory);
  const byNamespace = new Map<string, object[]>();
  for (let number = 0; number < registrations; number += 1) {
    const keys = Array.from({ length: keysEach }, key);
    const namespace = namespaceOf(number);
    await writeFile(join(directory, registrationFile(namespace, nameOf(number))), JSON.stringify({ keys }));
    byNamespace.set(namespace, [...(byNamespace.get(namespace) ?? []), ...keys]);
  }
  for (const [namespace, keys] of byNamespace) {
    await writeFile(join(directory, namespaceFile(namespace)), JSON.stringify({ keys }));
  }
  const { nodeArguments, env } = jwksContainer(directory);
  const anyPort = ['--address', '127.0.0.1:0', '--admin-address', '127.0.0.1:0'];
  const child = start(0, [...nodeArguments, 'jwks', ...anyPort, '--publish-dir', directory], env);
  const port = await child.port('serving JWKS');
  const adminPort = await child.port('serving probes and metrics');
  // Plays the publisher until the sidecar has read every file.
  for (let ready = false; !ready;) {
    await writeFile(join(directory, '.tmp-1'), JSON.stringify({ syncedAt: new Date().toISOString() }));
    await rename(join(directory, '.tmp-1'), join(directory, 'sync.json'));
    await wait(100);
    ({ ok: ready } = await fetch(`http://127.0.0.1:${adminPort}/readyz`));
  }
  return { child, port };
}

async function measureLive(start: Start, directory: string): Promise<number> {
  const { child, port } = await startSidecar(start, directory, 0);
  const registrations = Array.from({ length: manyRegistrations }, (_, number) => ({
    namespace: namespaceOf(number),
    name: nameOf(number),
    key: key(),
  }));
  await createLive(directory, port, registrations);
  const { peak } = child.residentMiB();
  await child.stop();
  await rm(directory, { recursive: true });
  return peak;
}

async function startBare(start: Start, answer: object): Promise<number> {
  return start(0, [sibling('jwks-bare-server.ts'), JSON.stringify(answer)]).port('address');
}

/** nginx from the PATH or from Debian's folder, serving the answer's body as a file with its headers. */
async function startNginx(
  start: Start,
  folder: string,
  { headers, body }: { headers: Readonly<Record<string, string>>; body: string },
): Promise<number | undefined> {
  const program = ['nginx', '/usr/sbin/nginx'].find((path) => spawnSync(path, ['-v']).status === 0);
  if (program === undefined) return undefined;
  const [port = 0] = await freePorts(1);
  const file = join(folder, pathOf(0));
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, body);
  const added = Object.entries(headers)
    .filter(([name]) => !['content-type', 'content-length', 'etag'].includes(name))
    .map(([name, value]) => `add_header ${name} "${value}";`);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (what) => `${what}_temp_path ${folder}/${what};`,
  );
  const config = `
    daemon off; master_process off; pid ${folder}/pid; error_log stderr;
    events { worker_connections 1024; }
    http {
      access_log off; sendfile on; tcp_nopush on; open_file_cache max=1000; keepalive_requests 1000; ${temporary.join(' ')}
      server { listen 127.0.0.1:${port}; root ${folder}; default_type application/json; ${added.join(' ')} }
    }`;
  await writeFile(join(folder, 'nginx.conf'), config);
  start(0, ['-c', join(folder, 'nginx.conf'), '-e', 'stderr'], {}, program);
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${port}${pathOf(0)}`).catch(() => undefined);
    if (response?.ok) return port;
    await wait(50);
  }
}

/** Five digits, so that all requests and answers have the same length. */
function nameOf(number: number): string {
  return `canvas-${String(number).padStart(5, '0')}`;
}

function namespaceOf(number: number): string {
  return `school-${String(number % namespaces).padStart(2, '0')}`;
}

function pathOf(number: number): string {
  return registrationPath(namespaceOf(number), nameOf(number));
}

/** A random modulus: no signature is verified with it. */
function key(): object {
  const n = randomBytes(256);
  n[0] = 0x80;
  const kid = randomBytes(32).toString('base64url');
  return { kty: 'RSA', use: 'sig', alg: 'RS256', kid, n: n.toString('base64url'), e: 'AQAB' };
}

async function answerOf(
  port: number,
  path: string,
  ifNoneMatch?: string,
): Promise<{ status: number; headers: Record<string, string>; body: string }> {
  const condition = ifNoneMatch === undefined ? {} : { 'If-None-Match': ifNoneMatch };
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: condition });
  const body = await response.text();
  // Without the headers that node:http adds to both.
  const own = [...response.headers].filter(([name]) => !['date', 'connection', 'keep-alive'].includes(name));
  return { status: response.status, headers: Object.fromEntries(own), body };
}

function sibling(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}

function medianRate(rates: readonly Rate[]): Rate {
  return { perSecond: median(rates.map(({ perSecond }) => perSecond)), p99: median(rates.map(({ p99 }) => p99)) };
}

function median(figures: readonly number[]): number {
  return figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)] ?? Number.NaN;
}
