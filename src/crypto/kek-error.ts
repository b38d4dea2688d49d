/**
 * Why a key-encryption key cannot be used.
 *
 * - `KEKDirectoryMissing`: the directory is absent or cannot be listed
 * - `KEKPrimaryMissing`: no file says which KEK seals, or it does not hold the name of one
 * - `KEKMissing`: the KEK that `primary` or a sealed key names has no file
 * - `KEKUnreadable`: its file is there but cannot be read
 * - `KEKMalformed`: its file does not hold a 256-bit key in base64, or has a name that cannot be an ID
 * - `KEKChanged`: it has other bytes than those that were first used under its name
 * - `KEKUnverified`: its canary cannot be read or written, so nothing vouches for its bytes
 * - `KMSUnavailable`: the KMS plugin's socket is absent, nobody listens, or no answer comes in time
 * - `KMSUnhealthy`: the plugin says that it is not healthy
 * - `KMSRefused`: the plugin answers with an error, such as a key it may not use or cannot decrypt with
 * - `KMSMalformed`: the plugin's answers break the KMS v2 API
 */
export type KekReason =
  | 'KEKDirectoryMissing'
  | 'KEKPrimaryMissing'
  | 'KEKMissing'
  | 'KEKUnreadable'
  | 'KEKMalformed'
  | 'KEKChanged'
  | 'KEKUnverified'
  | 'KMSUnavailable'
  | 'KMSUnhealthy'
  | 'KMSRefused'
  | 'KMSMalformed';

/** The message is one sentence or two that name the file, socket or Secret and the remedy, and never contents or answers. */
export class KekError extends Error {
  override readonly name = 'KekError';
  readonly reason: KekReason;

  constructor(reason: KekReason, message: string) {
    super(message);
    this.reason = reason;
  }
}
