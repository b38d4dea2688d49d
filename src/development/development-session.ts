import { namespacePath, registrationPath } from '../api/names.ts';
import type { LtiRegistration } from '../api/objects.ts';
import { keyFiles } from '../crypto/key-files.ts';
import { publicFiles } from '../domain/delivery-files.ts';
import type { Duration } from '../domain/duration.ts';
import { activeKey, type Ledger, liveKeys } from '../domain/ledger.ts';
import type { PublicJwk } from '../domain/public-jwk.ts';
import type { Clock } from '../lib/clock.ts';
import { Schedule } from '../lib/schedule.ts';
import type { DevelopmentKeys } from './development-keys.ts';
import type { DevelopmentServer } from './development-server.ts';
import type { MountedDirectory } from './mounted-directory.ts';

export interface DevelopmentSessionOptions {
  readonly registration: LtiRegistration;
  readonly keys: DevelopmentKeys;
  readonly directory: MountedDirectory;
  readonly server: DevelopmentServer;
  readonly clock: Clock;
  /** Rotate this often; only on request if omitted. */
  readonly rotateEvery?: Duration;
  /** Called after each change of the keys with the ledger before and after it. */
  readonly changed: (before: Ledger, after: Ledger) => void;
  /** Called with the reason when a rotation that is due does not happen. */
  readonly blocked: (problem: string) => void;
}

/** The operator, the kubelet and the JWKS server for one registration, without a cluster. */
export class DevelopmentSession {
  readonly jwksURL: string;
  readonly #options: DevelopmentSessionOptions;
  readonly #keys: DevelopmentKeys;
  readonly #schedule: Schedule;
  /** In monotonic milliseconds. */
  #checkAt = Number.NEGATIVE_INFINITY;
  #rotateAt = Number.POSITIVE_INFINITY;
  #delivered = '';
  #problem: string | undefined;

  constructor(options: DevelopmentSessionOptions) {
    const { name, namespace = '' } = options.registration.metadata;
    this.#options = options;
    this.#keys = options.keys;
    this.#schedule = new Schedule(options.clock);
    this.jwksURL = options.server.origin + registrationPath(namespace, name);
  }

  /** What platforms find at `jwksURL`. */
  published(): readonly PublicJwk[] {
    return liveKeys(this.#keys.ledger).map(({ publicJWK }) => publicJWK);
  }

  /** Requests a rotation; if one is in progress, its next key signs at once. */
  rotate(): void {
    if (!this.#keys.hurry()) this.#keys.rotate();
    this.#wake();
  }

  /** Revokes the signing key. */
  revoke(): void {
    this.#keys.revoke();
    this.#wake();
  }

  /** Runs until `signal` aborts. Rejects if the directory cannot be written. */
  async run(signal: AbortSignal): Promise<void> {
    const { rotateEvery, clock } = this.#options;
    if (rotateEvery !== undefined) this.#rotateAt = clock.monotonic() + rotateEvery;
    const jobs = [
      { dueAt: () => this.#rotateAt, run: () => this.#rotateAgain(rotateEvery ?? Number.POSITIVE_INFINITY) },
      { dueAt: () => this.#checkAt, run: () => this.#settle() },
    ];
    await this.#schedule.run(jobs, signal);
  }

  #wake(): void {
    this.#checkAt = Number.NEGATIVE_INFINITY;
    this.#schedule.wake();
  }

  #rotateAgain(rotateEvery: Duration): void {
    this.#rotateAt += rotateEvery;
    this.#keys.rotate();
    this.#checkAt = Number.NEGATIVE_INFINITY;
  }

  async #settle(): Promise<void> {
    const { clock, changed, blocked } = this.#options;
    this.#checkAt = Number.POSITIVE_INFINITY;
    const before = this.#keys.ledger;
    const { nextCheckAt, problem } = await this.#keys.settle();
    const after = this.#keys.ledger;
    // Published before it signs, as the operator does.
    this.#publish();
    await this.#deliver(after);
    if (after !== before) changed(before, after);
    if (problem !== undefined && problem !== this.#problem) blocked(problem);
    this.#problem = problem;
    if (nextCheckAt !== undefined) {
      this.#checkAt = Math.min(this.#checkAt, clock.monotonic() + nextCheckAt - clock.now().getTime());
    }
  }

  #publish(): void {
    const { registration, server } = this.#options;
    const { namespace = '', name } = registration.metadata;
    const keys = this.published();
    server.publish(registrationPath(namespace, name), keys);
    server.publish(namespacePath(namespace), keys);
  }

  async #deliver(ledger: Ledger): Promise<void> {
    const { registration, directory, server } = this.#options;
    const signing = this.#keys.signing();
    const urls = {
      jwksURL: this.jwksURL,
      namespaceJwksURL: server.origin + namespacePath(registration.metadata.namespace ?? ''),
    };
    const files = {
      ...publicFiles(urls, registration, liveKeys(ledger), activeKey(ledger)),
      ...(signing ? keyFiles(signing.keyID, signing.privateKey) : {}),
    };
    const content = JSON.stringify(files);
    if (content === this.#delivered) return;
    await directory.swap(files);
    this.#delivered = content;
  }
}
