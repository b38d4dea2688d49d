import type { WrappedKey } from '../wrapped-key.ts';

/**
 * A key management service behind the KMS v2 API of Kubernetes. Answers are within the bounds of that API; whatever else
 * comes of a call is a `KekError`.
 */
export interface Kms {
  /** How messages call it, as in "The KMS plugin at /run/kms.sock". */
  readonly subject: string;
  /** The `key_id` that `encrypt` uses now. Throws when the service says that it is not healthy. */
  status(): Promise<string>;
  encrypt(key: Uint8Array): Promise<WrappedKey>;
  /** Gives back 32 bytes that the caller zeroes after use. */
  decrypt(wrapped: WrappedKey): Promise<Buffer>;
}
