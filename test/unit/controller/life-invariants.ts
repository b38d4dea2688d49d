import { ledgerSecretName, ltiKeys, secrets } from '../../../src/api/names.ts';
import type { LtiKey, LtiRegistration } from '../../../src/api/objects.ts';
import type { Duration, Instant } from '../../../src/domain/duration.ts';
import { parseLedger } from '../../../src/domain/ledger-format.ts';
import { type Ledger, liveKeys } from '../../../src/domain/ledger.ts';
import { isShownPublished } from '../../../src/domain/ltikeys.ts';
import type { Secret } from '../../../src/kube/objects.ts';
import type { FakeClock } from '../../fakes/fake-clock.ts';
import type { MemoryObjects } from '../../fakes/memory-objects.ts';

function ledgerSecretIn(objects: MemoryObjects): Secret | undefined {
  return objects.find<Secret>(secrets, 'gradebook', ledgerSecretName('canvas'));
}

export function ledgerIn(objects: MemoryObjects): Ledger | undefined {
  const text = ledgerSecretIn(objects)?.data?.['ledger.json'];
  return text === undefined ? undefined : parseLedger(Buffer.from(text, 'base64').toString(), 'gradebook', 'canvas');
}

export function publishedIn(objects: MemoryObjects): Set<string> {
  const shown = objects.all<LtiKey>(ltiKeys).filter(isShownPublished);
  return new Set(shown.map(({ spec }) => spec.keyID));
}

/** The IDs of the keys that delivery Secrets hold. */
export function signingIn(objects: MemoryObjects): readonly string[] {
  const kids = objects.all<Secret>(secrets).flatMap(({ data }) => data?.['kid'] ?? []);
  return [...new Set(kids.map((kid) => Buffer.from(kid, 'base64').toString()))];
}

/** The invariants of DESIGN §6 that can be seen from what is stored, at any moment. */
export class LifeInvariants {
  readonly #objects: MemoryObjects;
  readonly #clock: FakeClock;
  readonly #overlap: Duration;
  readonly #revisions = new Map<string, number>();
  readonly #servedEver = new Set<string>();
  readonly #signedUntil = new Map<string, Instant>();
  /** Keys that may leave the documents at any time: they were revoked, or their registration was removed. */
  readonly #released = new Set<string>();
  #serial = 0;
  #removed = false;

  constructor(objects: MemoryObjects, clock: FakeClock, overlap: Duration) {
    this.#objects = objects;
    this.#clock = clock;
    this.#overlap = overlap;
  }

  served(keyIDs: ReadonlySet<string>): void {
    for (const keyID of keyIDs) this.#servedEver.add(keyID);
  }

  edited({ revokedKeyIDs = [] }: LtiRegistration['spec']): void {
    for (const keyID of revokedKeyIDs) this.#released.add(keyID);
  }

  deleted({ deletionPolicy }: LtiRegistration['spec']): void {
    if (deletionPolicy === 'Delete') this.#removed = true;
  }

  /** Throws if an invariant is violated. */
  check(): void {
    const ledger = ledgerIn(this.#objects);
    if (this.#removed) for (const keyID of this.#revisions.keys()) this.#released.add(keyID);
    if (ledger) this.#checkLedger(ledger);
    else this.#serial = 0;
    this.#checkSigning();
    this.#checkPublished();
  }

  #checkLedger(ledger: Ledger): void {
    if (ledger.serial < this.#serial) throw new Error('the serial of the ledger went back');
    this.#serial = ledger.serial;
    const entries = Object.keys(ledgerSecretIn(this.#objects)?.data ?? {}).filter((entry) => entry.endsWith('.jwe'));
    const live = liveKeys(ledger);
    if (entries.length !== live.length) throw new Error(`${entries.length} sealed keys for ${live.length} live ones`);
    for (const { keyID, revision } of ledger.keys) {
      const known = this.#revisions.get(keyID) ?? revision;
      if (known !== revision) throw new Error(`${keyID} is revision ${revision} and was ${known}`);
      this.#revisions.set(keyID, revision);
    }
  }

  #checkSigning(): void {
    for (const keyID of signingIn(this.#objects)) {
      if (!this.#servedEver.has(keyID)) throw new Error(`${keyID} signs and was never served`);
      this.#signedUntil.set(keyID, this.#clock.now().getTime());
    }
  }

  #checkPublished(): void {
    const published = publishedIn(this.#objects);
    const now = this.#clock.now().getTime();
    for (const [keyID, until] of this.#signedUntil) {
      if (published.has(keyID) || this.#released.has(keyID)) continue;
      if (now - until < this.#overlap) throw new Error(`${keyID} left the documents ${now - until} ms after it signed`);
      this.#signedUntil.delete(keyID);
    }
  }
}
