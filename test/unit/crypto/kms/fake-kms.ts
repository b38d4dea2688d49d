import { createHash } from 'node:crypto';
import { KekError } from '../../../../src/crypto/errors.ts';
import type { Kms } from '../../../../src/crypto/kms/kms.ts';
import type { WrappedKey } from '../../../../src/crypto/wrapped-key.ts';

/** A KMS in memory. It decrypts what it encrypted as long as `secret` stays the same. */
export class FakeKms implements Kms {
  readonly subject = 'the fake KMS';
  keyID = 'key-1';
  secret = 'of the fake KMS';
  /** Thrown by every call. */
  failure: KekError | undefined;
  /** Replace a response. */
  encrypts: ((wrapped: WrappedKey) => WrappedKey) | undefined;
  decrypts: ((key: Buffer) => Buffer) | undefined;
  /** Delays every call until it resolves. */
  slow: Promise<void> | undefined;
  readonly calls: ('status' | 'encrypt' | 'decrypt')[] = [];
  /** The buffers that it received or returned, not copies: the caller zeroes them. */
  readonly plaintexts: Uint8Array[] = [];

  async status(): Promise<string> {
    await this.#called('status');
    return this.keyID;
  }

  async encrypt(key: Uint8Array): Promise<WrappedKey> {
    this.plaintexts.push(key);
    await this.#called('encrypt');
    const ciphertext = Buffer.from(this.#mask(key)).toString('base64url');
    const wrapped = { keyID: this.keyID, ciphertext, annotations: { 'version.fake.example': 'MQ' } };
    return this.encrypts?.(wrapped) ?? wrapped;
  }

  async decrypt({ ciphertext }: WrappedKey): Promise<Buffer> {
    await this.#called('decrypt');
    const key = Buffer.from(this.#mask(Buffer.from(ciphertext, 'base64url')));
    this.plaintexts.push(key);
    return this.decrypts?.(key) ?? key;
  }

  async #called(call: 'status' | 'encrypt' | 'decrypt'): Promise<void> {
    this.calls.push(call);
    await this.slow;
    if (this.failure) throw this.failure;
  }

  #mask(bytes: Uint8Array): Uint8Array {
    const mask = createHash('sha256').update(this.secret).digest();
    return bytes.map((byte, at) => byte ^ mask[at % mask.length]!);
  }
}

export const unavailable = new KekError('KMSUnavailable', 'the fake KMS is away');
