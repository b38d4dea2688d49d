import type { KeyObject } from 'node:crypto';
import { generateKeyPair } from '../crypto/key-pair.ts';
import type { Instant } from '../domain/duration.ts';
import { withNewKey } from '../domain/key-generation.ts';
import { plan } from '../domain/key-plan.ts';
import { activeKey, emptyLedger, type Ledger, liveKeys, nextKey } from '../domain/ledger.ts';
import type { KeySize } from '../domain/public-jwk.ts';
import type { Registration } from '../domain/registration.ts';
import type { Lifecycle } from '../domain/situation.ts';
import { undisturbed } from '../domain/undisturbed.ts';
import type { Clock } from '../lib/clock.ts';

/** The keys of one registration in memory. The operator's own rules (domain/key-plan.ts) decide about them. */
export class DevelopmentKeys {
  readonly #registration: Registration;
  readonly #clock: Clock;
  readonly #privateKeys = new Map<string, KeyObject>();
  #ledger: Ledger;
  #requests = 0;
  #revoked: ReadonlySet<string> = new Set();
  /** The next key that signs without waiting for its activation delay. */
  #hurried: string | undefined;

  constructor(registration: Registration, clock: Clock) {
    this.#registration = registration;
    this.#clock = clock;
    this.#ledger = emptyLedger(registration.namespace, registration.name);
  }

  get ledger(): Ledger {
    return this.#ledger;
  }

  /** `undefined` before the first `settle`. */
  signing(): { readonly keyID: string; readonly privateKey: KeyObject } | undefined {
    const keyID = this.#ledger.activeKeyID;
    const privateKey = keyID === undefined ? undefined : this.#privateKeys.get(keyID);
    return keyID === undefined || privateKey === undefined ? undefined : { keyID, privateKey };
  }

  /** Requests a rotation, as `kubectl lti rotate` does. One that is in progress answers the request. */
  rotate(): void {
    this.#requests += 1;
  }

  /** Lets the next key sign without waiting for its activation delay. False if there is none. */
  hurry(): boolean {
    this.#hurried = nextKey(this.#ledger)?.keyID;
    return this.#hurried !== undefined;
  }

  /** Revokes the signing key. */
  revoke(): void {
    const keyID = activeKey(this.#ledger)?.keyID;
    if (keyID !== undefined) this.#revoked = new Set([...this.#revoked, keyID]);
  }

  /** Makes every step that is due. Returns when the next one is, and why a rotation that is due does not happen. */
  async settle(): Promise<{ readonly nextCheckAt?: Instant; readonly problem?: string }> {
    for (;;) {
      const { transitions, ledger, generate, generationFault, nextCheckAt } = plan(this.#lifecycle());
      if (transitions.length > 0) this.#ledger = ledger;
      else if (generate) {
        const pair = await generateKeyPair(generate.size as KeySize);
        this.#privateKeys.set(pair.keyID, pair.privateKey);
        this.#ledger = withNewKey(this.#lifecycle(), pair, generate.cause);
      } else {
        this.#forgetFormerKeys();
        return {
          ...(nextCheckAt === undefined ? {} : { nextCheckAt }),
          ...(generationFault ? { problem: generationFault.message } : {}),
        };
      }
    }
  }

  #forgetFormerKeys(): void {
    const live = new Set(liveKeys(this.#ledger).map(({ keyID }) => keyID));
    for (const keyID of this.#privateKeys.keys()) if (!live.has(keyID)) this.#privateKeys.delete(keyID);
  }

  /** Everything is served and delivered as soon as it is decided, and nothing is sealed. */
  #lifecycle(): Lifecycle {
    const ledger = this.#ledger;
    const isHurried = this.#hurried !== undefined && nextKey(ledger)?.keyID === this.#hurried;
    return undisturbed({
      registration: {
        ...this.#registration,
        ...(isHurried ? { activationDelay: 0 } : {}),
        ...(this.#requests > 0 ? { rotateRequest: String(this.#requests) } : {}),
        revokedKeyIDs: this.#revoked,
      },
      ledger,
      limits: { minimumOverlap: 0, minimumActivationDelay: 0 },
      now: this.#clock.now().getTime(),
    });
  }
}
