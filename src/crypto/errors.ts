import type { KekReason, SealReason } from '../api/reasons.ts';

/** The errors of keys. Messages name the object and the remedy; none quotes key material, ciphertext or a file's content. */

/** Why a key-encryption key cannot be used. Messages never quote an answer of a KMS. */
export class KekError extends Error {
  override readonly name = 'KekError';
  readonly reason: KekReason;

  constructor(reason: KekReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Why a sealed key cannot be opened. */
export class SealError extends Error {
  override readonly name = 'SealError';
  readonly reason: SealReason;
  /** The KEK that the header names, if it was read. `cause` is the KekError if that KEK cannot be used. */
  readonly kekID: string | undefined;

  constructor(reason: SealReason, message: string, options: { kekID?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.reason = reason;
    this.kekID = options.kekID;
  }
}

/** Why a key of a former system cannot be imported. The message follows the name of the key: "it is empty". */
export class ImportKeyError extends Error {
  override readonly name = 'ImportKeyError';
}
