import { decodeProtectedHeader, flattenedDecrypt, FlattenedEncrypt, type FlattenedJWE } from 'jose';
import type { Kek, KekProvider } from './kek-provider.ts';
import { parseWrappedKey } from './wrapped-key.ts';

/**
 * A known text sealed under a key-encryption key, as JWE JSON. Only the key that sealed it opens it. For a key in a KMS, the canary
 * contains the wrapping key that sealed it: if the KMS still decrypts that one, it decrypts the others.
 */

const plaintext = 'lti-key-operator KEK canary';
const algorithms = { alg: 'A256KW', enc: 'A256GCM' } as const;

export async function makeCanary(kek: Kek): Promise<string> {
  const header = { ...algorithms, kid: kek.id, ...(kek.wrapped ? { kms: kek.wrapped } : {}) };
  const encrypt = new FlattenedEncrypt(Buffer.from(plaintext)).setProtectedHeader(header);
  return JSON.stringify(await encrypt.encrypt(kek.key));
}

/** Whether `text` has the shape of a canary for this KEK ID. It may be sealed under other bytes. */
export function isCanary(text: string, kekID: string): boolean {
  const header = headerOf(text);
  return header?.['alg'] === algorithms.alg && header['enc'] === algorithms.enc && header['kid'] === kekID;
}

/** False for a canary that was sealed under other bytes. Throws `KekError` if a KMS does not decrypt the canary's key. */
export async function canaryOpens(text: string, kek: Kek, keks: KekProvider): Promise<boolean> {
  const wrapped = wrappedKeyOf(text);
  const openingKek = wrapped ? await keks.openingKey(kek.id, wrapped) : kek;
  if ((await decrypted(text, openingKek)) !== plaintext) return false;
  openingKek.confirm();
  return true;
}

async function decrypted(text: string, kek: Kek): Promise<string | undefined> {
  try {
    const { plaintext: opened } = await flattenedDecrypt(JSON.parse(text) as FlattenedJWE, kek.key, {
      keyManagementAlgorithms: [algorithms.alg],
      contentEncryptionAlgorithms: [algorithms.enc],
    });
    return Buffer.from(opened).toString();
  } catch {
    return undefined;
  }
}

function wrappedKeyOf(text: string): ReturnType<typeof parseWrappedKey> | undefined {
  const kms = headerOf(text)?.['kms'];
  try {
    return kms === undefined ? undefined : parseWrappedKey(kms, refuse);
  } catch {
    // No KMS could decrypt it, so nothing opens the canary.
    return undefined;
  }
}

function refuse(what: string): never {
  throw new TypeError(what);
}

function headerOf(text: string): Record<string, unknown> | undefined {
  try {
    return decodeProtectedHeader(JSON.parse(text) as FlattenedJWE);
  } catch {
    return undefined;
  }
}
