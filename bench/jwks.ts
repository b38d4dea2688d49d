import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { registrationPath } from '../src/api/names.ts';
import type { PublicJwk } from '../src/domain/jwk.ts';
import { registrationFile } from '../src/domain/jwks-document.ts';
import type { DocumentFile } from '../src/domain/jwks-document.ts';

/** Many short rounds: on a machine that others use too, neighbours in time are alike. */
const rounds = 40;
const roundMs = 200;
const warmUpMs = 2000;
const path = registrationPath('gradebook', 'canvas');

export interface JwksFigures {
  /** Median over pairs of neighbouring rounds of the sidecar's rate over the bare server's; 1 is as fast as node:http. */
  readonly ratio: number;
  /** Requests per second, median over the rounds. */
  readonly ours: number;
  readonly bare: number;
}

/**
 * The sidecar against a bare node:http server that sends the same headers and body, each on the same core while the
 * load comes from another. `command` starts a sidecar that serves the directory it is given as last argument.
 */
export async function measureJwks(command: readonly string[] = [sibling('jwks-server.ts')]): Promise<JwksFigures> {
  const directory = await mkdtemp(join(tmpdir(), 'jwks-bench-'));
  const children: Child[] = [];
  const start = (core: number, args: readonly string[]): Child => {
    const child = new Child(core, args);
    children.push(child);
    return child;
  };
  try {
    await writeFile(join(directory, registrationFile('gradebook', 'canvas')), JSON.stringify(document()));
    const sidecar = start(0, [...command, directory]);
    const sidecarPort = portOf(await sidecar.line('serving JWKS'));
    const answer = await firstAnswer(directory, sidecarPort);
    const bare = start(0, [sibling('bare-server.ts'), JSON.stringify(answer)]);
    const barePort = portOf(await bare.line('address'));
    const load = start(1, [sibling('load.ts')]);
    const round = async (port: number, milliseconds: number): Promise<number> => {
      load.write({ port, path, milliseconds });
      const { requests, seconds } = JSON.parse(await load.line('requests'));
      return requests / seconds;
    };
    for (const port of [sidecarPort, barePort]) await round(port, warmUpMs);
    const [ours, bares]: [number[], number[]] = [[], []];
    for (let index = 0; index < rounds; index += 1) {
      // Whoever goes first changes, so that a drift of the machine favours nobody.
      const order = index % 2 === 0 ? [ours, bares] : [bares, ours];
      for (const figures of order) figures.push(await round(figures === ours ? sidecarPort : barePort, roundMs));
    }
    const ratios = ours.map((rate, index) => rate / (bares[index] ?? Number.NaN));
    return { ratio: median(ratios), ours: median(ours), bare: median(bares) };
  } finally {
    await Promise.all(children.map((child) => child.stop()));
    await rm(directory, { recursive: true });
  }
}

function document(): DocumentFile {
  return { keys: [key('a'.repeat(43)), key('b'.repeat(43))] };
}

function key(kid: string): PublicJwk {
  const { n = '', e = '' } = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' });
  return { kty: 'RSA', use: 'sig', alg: 'RS256', kid, n, e };
}

/** Plays the publisher until the sidecar serves, and gives what it sends. */
async function firstAnswer(
  directory: string,
  port: number,
): Promise<{ headers: Record<string, string>; body: string }> {
  for (;;) {
    await writeFile(join(directory, 'sync.json'), JSON.stringify({ syncedAt: new Date().toISOString() }));
    await wait(50);
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    const body = await response.text();
    if (response.status !== 200) continue;
    // What node:http adds by itself, it adds to both.
    const own = [...response.headers].filter(([name]) => !['date', 'connection', 'keep-alive'].includes(name));
    return { headers: Object.fromEntries(own), body };
  }
}

/** A Node process on one core, where taskset can see to that. */
class Child {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(core: number, args: readonly string[]) {
    const pinned = spawnSync('taskset', ['-c', String(core), 'true']).status === 0;
    const [file = '', ...rest] = [...(pinned ? ['taskset', '-c', String(core)] : []), process.execPath, ...args];
    this.#process = spawn(file, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#process.stdout === null) throw new Error('the child has no output');
    this.#lines = createInterface(this.#process.stdout)[Symbol.asyncIterator]();
  }

  async line(containing: string): Promise<string> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error('a process of the measurement ended early');
      if (value.includes(containing)) return value;
    }
  }

  write(job: object): void {
    this.#process.stdin?.write(`${JSON.stringify(job)}\n`);
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGKILL');
    await once(this.#process, 'exit');
  }
}

function sibling(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}

function portOf(line: string): number {
  const { address }: { address: string } = JSON.parse(line);
  return Number(address.split(':').at(-1));
}

function median(figures: readonly number[]): number {
  return figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)] ?? Number.NaN;
}
