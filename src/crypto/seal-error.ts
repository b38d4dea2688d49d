/**
 * Why a sealed key does not open.
 *
 * - `SealMalformed`: not a sealed key of the one shape that is written
 * - `SealVersionUnknown`: a format version of another release
 * - `SealContextMismatch`: sealed for another namespace, registration or key ID
 * - `SealKEKMissing`: its KEK cannot be used; `kekID` says which, `cause` is the `KekError`
 * - `SealTampered`: changed since it was sealed, or its KEK has other bytes
 * - `SealKeyMismatch`: it opens, and holds another key than the one it is filed as
 */
export type SealReason =
  | 'SealMalformed'
  | 'SealVersionUnknown'
  | 'SealContextMismatch'
  | 'SealKEKMissing'
  | 'SealTampered'
  | 'SealKeyMismatch';

/** The message names the key, its registration and the remedy; never key material or ciphertext. */
export class SealError extends Error {
  override readonly name = 'SealError';
  readonly reason: SealReason;
  /** The KEK the key says it was sealed under, once that is known. */
  readonly kekID: string | undefined;

  constructor(reason: SealReason, message: string, options: { kekID?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.reason = reason;
    this.kekID = options.kekID;
  }
}
