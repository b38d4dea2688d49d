import type { webcrypto } from 'node:crypto';
import type { KekError } from './kek-error.ts';
import type { WrappedKey } from './wrapped-key.ts';

/** A key-encryption key (KEK) for AES Key Wrap with 256 bits (RFC 3394). It cannot be exported. */
export interface Kek {
  /** What a sealed key calls it. */
  readonly id: string;
  readonly key: webcrypto.CryptoKey;
  /** Where the KEK itself stays in a KMS and `key` is one that it encrypted: what is kept beside everything sealed. */
  readonly wrapped?: WrappedKey;
  /** Records that this key decrypted something; from then on its provider refuses other bytes under the same ID. */
  confirm(): void;
  /** Whether a key of this ID, and of these bytes where the provider has them, decrypted something in this process. */
  isConfirmed(): boolean;
  /**
   * Checks that this is the key that was first used under its ID, after something did not decrypt. Returns undefined if it is,
   * `KEKChanged` if it is not, or why the check failed. Absent if the provider has nothing to compare with.
   */
  verify?(): Promise<KekError | undefined>;
}

export interface KekStatus {
  /** The KEK that seals; undefined when nothing can be sealed, and `problems` says why. */
  readonly sealingKeyID: string | undefined;
  /** Everything wrong with the provider's keys, also those that do not seal. Healthy means none. */
  readonly problems: readonly KekError[];
}

/** Where KEKs come from. Implemented by the `file` and `kmsv2` providers; see docs/design/0002-sealing.md. */
export interface KekProvider {
  /** Never throws for a bad KEK: that is what it reports. */
  status(): Promise<KekStatus>;
  /** The KEK that seals now. Throws `KekError`. */
  sealingKey(): Promise<Kek>;
  /** The KEK something was sealed under, with what was kept beside it; never another one to try. Throws `KekError`. */
  openingKey(kekID: string, wrapped?: WrappedKey): Promise<Kek>;
}
