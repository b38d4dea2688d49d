/**
 * Why a key-encryption key cannot be used.
 *
 * - `KEKDirectoryMissing`: the directory is absent or cannot be listed
 * - `KEKPrimaryMissing`: no file says which KEK seals, or it does not hold the name of one
 * - `KEKMissing`: the KEK that `primary` or a sealed key names has no file
 * - `KEKUnreadable`: its file is there but cannot be read
 * - `KEKMalformed`: its file does not hold a 256-bit key in base64, or has a name that cannot be an ID
 * - `KEKChanged`: its file holds other bytes than those that opened sealed keys earlier in this process
 */
export type KekReason =
  'KEKDirectoryMissing' | 'KEKPrimaryMissing' | 'KEKMissing' | 'KEKUnreadable' | 'KEKMalformed' | 'KEKChanged';

/** The message is one sentence or two that name the file and the remedy, and never its contents. */
export class KekError extends Error {
  override readonly name = 'KekError';
  readonly reason: KekReason;

  constructor(reason: KekReason, message: string) {
    super(message);
    this.reason = reason;
  }
}
