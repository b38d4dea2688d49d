import type { webcrypto } from 'node:crypto';
import type { KekError } from './errors.ts';
import type { WrappedKey } from './wrapped-key.ts';

/** A key-encryption key (KEK) for AES Key Wrap with 256 bits (RFC 3394). It cannot be exported. */
export interface Kek {
  /** Its name in the headers of sealed keys. */
  readonly id: string;
  readonly key: webcrypto.CryptoKey;
  /** If the KEK is in a KMS: the ciphertext of `key`, stored beside everything that `key` seals. */
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
  /** The KEK that seals, or undefined if none can; `problems` then has the reason. */
  readonly sealingKekID: string | undefined;
  /** All problems with the provider's keys, including those that do not seal. */
  readonly problems: readonly KekError[];
}

/** A source of KEKs, such as a directory or a KMS; see docs/design/0002-sealing.md. */
export interface KekProvider {
  /** Reports bad KEKs; never throws for them. */
  status(): Promise<KekStatus>;
  /** The KEK that seals now. Throws `KekError`. */
  sealingKey(): Promise<Kek>;
  /** The KEK that something was sealed under, never a substitute. Throws `KekError`. */
  openingKey(kekID: string, wrapped?: WrappedKey): Promise<Kek>;
}
