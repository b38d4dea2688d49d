import { createHash, type webcrypto } from 'node:crypto';
import type { LedgerKey } from '../../domain/ledger.ts';
import type { ObjectKey } from '../../kube/objects.ts';

/**
 * Sealed keys that this process has opened: which bytes, with which key-encryption key. A pass that only checks whether they
 * open does not decrypt them again, so that private keys are in memory only while they are used. Other bytes of the sealed
 * key, of its public half or of the KEK are opened again. Failures are not cached.
 */
export class OpenedKeys {
  readonly #opened = new Map<ObjectKey, ReadonlyMap<string, webcrypto.CryptoKey>>();

  knows(registration: ObjectKey, digest: string, kek: webcrypto.CryptoKey): boolean {
    return this.#opened.get(registration)?.get(digest) === kek;
  }

  /** Replaces all entries of the registration. */
  remember(registration: ObjectKey, opened: ReadonlyMap<string, webcrypto.CryptoKey>): void {
    if (opened.size === 0) this.forget(registration);
    else this.#opened.set(registration, opened);
  }

  forget(registration: ObjectKey): void {
    this.#opened.delete(registration);
  }
}

/** Identifies a sealed key and the public half that it has to match. */
export function sealDigest({ keyID, publicJWK }: LedgerKey, jwe: string): string {
  return createHash('sha256')
    .update(JSON.stringify([keyID, publicJWK, jwe]))
    .digest('base64');
}
