import type { Instant } from '../../src/domain/duration.ts';
import type { PublicJwk } from '../../src/domain/public-jwk.ts';
import type { KeyFacts, Ledger, LedgerKey } from '../../src/domain/ledger.ts';

/** Midnight of an ordinary day, at which the tests start. */
export const epoch: Instant = Date.parse('2026-03-01T00:00:00.000Z');

/** The key ID of a revision in the builders. */
export function keyIDOf(revision: number): string {
  return `kid-${revision}`;
}

export function aPublicJwk(kid: string): PublicJwk {
  const octets = Buffer.alloc(256, kid);
  octets[0] = 0x80;
  return { kty: 'RSA', use: 'sig', alg: 'RS256', kid, n: octets.toString('base64url'), e: 'AQAB' };
}

/** The facts of a key pair that was just generated. */
export function keyFacts(keyID: string, size = 2048): KeyFacts {
  return { keyID, algorithm: 'RS256', size, publicJWK: aPublicJwk(keyID) };
}

/** One row, with the times that its state implies: published and activated at `epoch`. */
export function aKey(revision: number, state: LedgerKey['state'], more: Partial<LedgerKey> = {}): LedgerKey {
  const signed = state === 'Active' || state === 'Retiring';
  return {
    revision,
    ...keyFacts(more.keyID ?? keyIDOf(revision), more.size),
    state,
    cause: revision === 1 ? 'Initial' : 'Schedule',
    createdAt: epoch,
    ...(signed ? { publishedAt: epoch, activatedAt: epoch } : {}),
    ...(state === 'Retired' ? { retiredAt: epoch } : {}),
    ...(state === 'Revoked' ? { revokedAt: epoch } : {}),
    ...more,
  };
}

/** The ledger of gradebook/canvas with these rows; its pointer and highest revision follow from them. */
export function aLedger(keys: readonly LedgerKey[], more: Partial<Ledger> = {}): Ledger {
  const active = keys.find(({ state }) => state === 'Active');
  return {
    namespace: 'gradebook',
    registration: 'canvas',
    issuer: 'https://platform.example.org',
    serial: 7,
    highestRevision: Math.max(0, ...keys.map(({ revision }) => revision)),
    ...(active ? { activeKeyID: active.keyID } : {}),
    deletionPolicy: 'Retain',
    deliveries: [],
    keys,
    ...more,
  };
}
