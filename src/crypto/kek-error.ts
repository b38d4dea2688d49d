import type { KekReason } from '../api/reasons.ts';

/** Why a key-encryption key cannot be used. The message is one sentence or two that name the file, socket or Secret and the remedy, and never contents or answers. */
export class KekError extends Error {
  override readonly name = 'KekError';
  readonly reason: KekReason;

  constructor(reason: KekReason, message: string) {
    super(message);
    this.reason = reason;
  }
}
