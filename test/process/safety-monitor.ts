import { compactVerify, CompactSign, importJWK, type JWK } from 'jose';
import { pause } from './command.ts';
import type { TestRegistration } from './registration.ts';

export interface Findings {
  readonly verified: number;
  /** Polls at which the sidecar, or the API server, did not answer or said 503. */
  readonly unanswered: number;
  /** What must never happen, one sentence each. */
  readonly violations: readonly string[];
  /** Key IDs in the order in which the tool was given them. */
  readonly delivered: readonly string[];
}

/**
 * A tool and a platform without a cache: signs with the delivered key and verifies with the key set served right after,
 * over and over. An answer of 200 that lacks the key, an empty one, or more than one Active key in a ledger is a violation;
 * so is a key that leaves before `overlapMs` have passed since the tool had it last.
 */
export class SafetyMonitor {
  readonly #registration: TestRegistration;
  readonly #url: string;
  readonly #intervalMs: number;
  readonly #overlapMs: number;
  readonly #violations = new Set<string>();
  readonly #lastDelivered = new Map<string, number>();
  readonly #served = new Set<string>();
  #verified = 0;
  #unanswered = 0;
  #stopped = false;
  readonly #running: Promise<void>;

  constructor(registration: TestRegistration, url: string, options: { intervalMs?: number; overlapMs?: number } = {}) {
    this.#registration = registration;
    this.#url = url;
    this.#intervalMs = options.intervalMs ?? 50;
    this.#overlapMs = options.overlapMs ?? 2000;
    this.#running = this.#run();
  }

  async stop(): Promise<Findings> {
    this.#stopped = true;
    await this.#running;
    return {
      verified: this.#verified,
      unanswered: this.#unanswered,
      violations: [...this.#violations],
      delivered: [...this.#lastDelivered.keys()],
    };
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await this.#look().catch(() => (this.#unanswered += 1));
      await pause(this.#intervalMs);
    }
  }

  async #look(): Promise<void> {
    const [ledger, entries] = await Promise.all([this.#registration.ledger(), this.#registration.delivered()]);
    const active = ledger.keys.filter(({ state }) => state === 'Active');
    if (active.length > 1 || (active.length === 0 && this.#lastDelivered.size > 0))
      this.#violations.add(`serial ${ledger.serial} has ${active.length} Active keys`);
    const { kid, 'private.jwk': privateJwk } = entries;
    if (kid === undefined || privateJwk === undefined) return;
    this.#lastDelivered.set(kid, performance.now());
    const response = await fetch(this.#url);
    if (response.status !== 200) {
      if (response.status !== 503) this.#violations.add(`the sidecar answered ${response.status}`);
      throw new Error('not served');
    }
    const { keys } = (await response.json()) as { keys: (JWK & { kid: string })[] };
    this.#followRemovals(new Set(keys.map((key) => key.kid)));
    const match = keys.find((key) => key.kid === kid);
    if (!match) return void this.#violations.add(`delivered key ${kid} was not served`);
    const token = await new CompactSign(Buffer.from('assertion'))
      .setProtectedHeader({ alg: 'RS256', kid })
      .sign(await importJWK(JSON.parse(privateJwk) as JWK, 'RS256'));
    await compactVerify(token, await importJWK(match, 'RS256')).then(
      () => (this.#verified += 1),
      () => this.#violations.add(`a token of key ${kid} did not verify`),
    );
  }

  #followRemovals(served: ReadonlySet<string>): void {
    for (const kid of this.#served) {
      const last = this.#lastDelivered.get(kid);
      if (served.has(kid) || last === undefined) continue;
      // The tool may have had it until a poll later than the last one that saw it.
      const age = performance.now() - last + this.#intervalMs * 2;
      if (age < this.#overlapMs) this.#violations.add(`key ${kid} left ${Math.round(age)} ms after it signed`);
    }
    this.#served.clear();
    for (const kid of served) this.#served.add(kid);
  }
}
