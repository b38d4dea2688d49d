import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnTied, type TiedProcess } from '../../dev/control-plane/tied-process.ts';
import { kmsPluginProgram } from '../../dev/kms-plugin/build.ts';
import { sleep, systemClock } from '../../src/lib/clock.ts';

/** How dev/kms-plugin/main.go behaves. */
export type Mode =
  | 'ok'
  | 'unhealthy'
  | 'slow'
  | 'refuse'
  | 'encrypt-garbage'
  | 'decrypt-garbage'
  | 'status-garbage'
  | 'foreign-key-id'
  | 'bad-annotation'
  | 'big-ciphertext'
  | 'big-key-id'
  | 'no-key-id';

/** A real KMS v2 plugin in a process of its own, with a socket in a folder of its own. */
export class Plugin {
  readonly #folder = mkdtempSync(join(tmpdir(), 'kms-'));
  readonly socket = join(this.#folder, 'kms.sock');
  readonly #control = join(this.#folder, 'control');
  #process: TiedProcess | undefined;

  constructor() {
    this.behave('ok');
  }

  /** From the next call on; `keyID` is the `key_id`, and `secret` the key behind it, one of its own unless given. */
  behave(mode: Mode, keyID = 'kek-1', secret = keyID): void {
    writeFileSync(this.#control, `${mode} ${keyID} ${secret}`);
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    const program = await kmsPluginProgram();
    const args = [this.socket, this.#control];
    this.#process = spawnTied({ program, args, logFile: join(this.#folder, 'log') });
    for (const deadline = Date.now() + 20_000; !(await listens(this.socket));) {
      if (Date.now() > deadline) throw new Error('the KMS plugin does not listen');
      await sleep(systemClock, 10);
    }
  }

  /** Kills it; the socket file stays, as after a crash. */
  async stop(): Promise<void> {
    await this.#process?.kill();
    this.#process = undefined;
  }

  async dispose(): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true });
  }
}

function listens(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket, () => {
      connection.destroy();
      resolve(true);
    });
    connection.on('error', () => resolve(false));
  });
}
