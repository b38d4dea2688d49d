import type { SealReason } from '../api/reasons.ts';

/** Why a sealed key does not open. The message names the key, its registration and the remedy; never key material or ciphertext. */
export class SealError extends Error {
  override readonly name = 'SealError';
  readonly reason: SealReason;
  /** The KEK that the key says it was sealed under, once that is known; `cause` is the KekError where it cannot be used. */
  readonly kekID: string | undefined;

  constructor(reason: SealReason, message: string, options: { kekID?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.reason = reason;
    this.kekID = options.kekID;
  }
}
