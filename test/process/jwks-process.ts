import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../dev/control-plane/ports.ts';
import { spawnTied } from '../../dev/control-plane/tied-process.ts';
import { jwksContainer } from '../../dev/jwks-container.ts';
import { eventually, pause } from './command.ts';

/** A key set of `count` keys that nobody has the private halves of. */
export function keySet(count: number): string {
  const keys = Array.from({ length: count }, () => {
    const n = randomBytes(256);
    n[0] = 0x80;
    const kid = randomBytes(32).toString('base64url');
    return { kty: 'RSA', use: 'sig', alg: 'RS256', kid, n: n.toString('base64url'), e: 'AQAB' };
  });
  return JSON.stringify({ keys });
}

/** The jwks container as a process of this machine, with the permissions it has in the Deployment, and its publisher. */
export class JwksProcess {
  readonly folder = mkdtempSync(join(tmpdir(), 'jwks-process-'));
  readonly publishDir = join(this.folder, 'publish');
  readonly port: number;
  readonly adminUrl: string;
  readonly #adminPort: number;
  #running: ReturnType<typeof spawnTied> | undefined;
  #beating: NodeJS.Timeout | undefined;

  private constructor([port = 0, adminPort = 0]: readonly number[]) {
    this.port = port;
    this.#adminPort = adminPort;
    this.adminUrl = `http://127.0.0.1:${adminPort}`;
    mkdirSync(this.publishDir);
  }

  static async create(): Promise<JwksProcess> {
    return new JwksProcess(await freePorts(2));
  }

  /** Resolves when it is ready. */
  async start(...more: readonly string[]): Promise<void> {
    const { nodeArguments, env } = jwksContainer(this.publishDir, [this.folder]);
    this.#running = spawnTied({
      program: process.execPath,
      args: [
        ...nodeArguments,
        'jwks',
        `--publish-dir=${this.publishDir}`,
        `--address=127.0.0.1:${this.port}`,
        `--admin-address=127.0.0.1:${this.#adminPort}`,
        ...more,
      ],
      logFile: join(this.folder, 'log'),
      env,
    });
    this.#beating = setInterval(() => this.publish('sync.json', JSON.stringify({ syncedAt: new Date() })), 250);
    await eventually('the sidecar is ready', async () => (await fetch(`${this.adminUrl}/readyz`)).ok);
  }

  publish(file: string, content: string): void {
    const temporary = join(this.publishDir, '.tmp-1');
    writeFileSync(temporary, content);
    renameSync(temporary, join(this.publishDir, file));
  }

  get exited(): Promise<number | string> {
    return this.#running!.exited;
  }

  output(): string {
    return readFileSync(join(this.folder, 'log'), 'utf8');
  }

  terminate(): void {
    process.kill(this.#running!.pid, 'SIGTERM');
  }

  /** Resident memory in MiB. */
  residentMiB(): number {
    return this.#memory('VmRSS');
  }

  /** The most there ever was. */
  peakMiB(): number {
    return this.#memory('VmHWM');
  }

  #memory(figure: string): number {
    const status = readFileSync(`/proc/${this.#running!.pid}/status`, 'utf8');
    return Number(new RegExp(`^${figure}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024;
  }

  async remove(): Promise<void> {
    clearInterval(this.#beating);
    await this.#running?.kill();
    await pause(0);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
