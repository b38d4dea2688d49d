import type { WrappedKey } from '../wrapped-key.ts';

/** A key management service with the KMS v2 API of Kubernetes. Results are within the bounds of that API; all else throws `KekError`. */
export interface Kms {
  /** Its name in messages, such as "the KMS plugin at /run/kms.sock". */
  readonly subject: string;
  /** The `key_id` that `encrypt` uses now. Throws if the service reports that it is not healthy. */
  status(): Promise<string>;
  encrypt(key: Uint8Array): Promise<WrappedKey>;
  /** Returns 32 bytes, which the caller zeroes after use. */
  decrypt(wrapped: WrappedKey): Promise<Buffer>;
}
