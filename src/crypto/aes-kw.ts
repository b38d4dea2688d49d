import { webcrypto } from 'node:crypto';

/** Imports a 256-bit key for AES Key Wrap (RFC 3394) that cannot be exported, and zeroes `bytes`. */
export async function importAesKw(bytes: Buffer): Promise<webcrypto.CryptoKey> {
  try {
    return await webcrypto.subtle.importKey('raw', bytes, 'AES-KW', false, ['wrapKey', 'unwrapKey']);
  } finally {
    bytes.fill(0);
  }
}
