import { createPrivateKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { errors, flattenedDecrypt, FlattenedEncrypt } from 'jose';
import type { PublicJwk } from '../domain/public-jwk.ts';
import { KekError } from './kek-error.ts';
import { publicJwk } from './key-pair.ts';
import type { Kek, KekProvider } from './kek-provider.ts';
import { SealError } from './seal-error.ts';
import { parseSealed, sealedHeader, type ParsedSeal, type SealContext } from './sealed-format.ts';

/** `publicJWK` is needed for a key that keeps a foreign key ID: the thumbprint cannot vouch for that one. */
export interface KeyContext extends SealContext {
  readonly publicJWK?: PublicJwk;
}

/**
 * Seals a private key for one place: JWE JSON serialization (RFC 7516 §7.2.2), A256KW and A256GCM with a fresh content
 * key. What it returns has been opened and compared. Throws `KekError` when nothing can seal and `SealError` when the
 * context does not fit the key.
 */
export async function seal(
  privateKey: KeyObject,
  context: KeyContext,
  keks: KekProvider,
): Promise<{ jwe: string; kekID: string }> {
  const kek = await keks.sealingKey();
  const plaintext = Buffer.from(JSON.stringify(privateKey.export({ format: 'jwk' })));
  try {
    const encrypt = new FlattenedEncrypt(plaintext).setProtectedHeader({ ...sealedHeader(context, kek) });
    const jwe = JSON.stringify(await encrypt.encrypt(kek.key));
    await decrypt(parseInPlace(jwe, context), context, kek);
    return { jwe, kekID: kek.id };
  } finally {
    plaintext.fill(0);
  }
}

/** A sealed key where it belongs, and the KEK that it says it is sealed under. */
export interface Located {
  readonly parsed: ParsedSeal;
  readonly context: KeyContext;
  readonly kek: Kek;
}

/** Opens a sealed key where it belongs. Throws `SealError`. */
export async function open(jwe: string, context: KeyContext, keks: KekProvider): Promise<KeyObject> {
  return openLocated(await locate(jwe, context, keks));
}

/** The first half of opening: compares the header, and looks up the KEK. Throws `SealError`. */
export async function locate(jwe: string, context: KeyContext, keks: KekProvider): Promise<Located> {
  const parsed = parseInPlace(jwe, context);
  const { kekID, kms } = parsed.header;
  const kek = await keks.openingKey(kekID, kms).catch((cause: unknown): never => {
    if (!(cause instanceof KekError)) throw cause;
    throw unusable(context, kekID, cause);
  });
  return { parsed, context, kek };
}

/** The second half: decrypts, and compares the public half. Throws `SealError`. */
export function openLocated({ parsed, context, kek }: Located): Promise<KeyObject> {
  return decrypt(parsed, context, kek);
}

function parseInPlace(jwe: string, context: KeyContext): ParsedSeal {
  const parsed = parseSealed(jwe, subject(context));
  for (const member of ['namespace', 'registration', 'keyID'] as const) {
    if (parsed.header[member] === context[member]) continue;
    const { namespace, registration, keyID } = parsed.header;
    const message = `${subject(context)} has another ${member}: it was sealed as key ${keyID} of ${namespace}/${registration}. Restore the ledger Secret it was taken from and this one from a backup.`;
    throw new SealError('SealContextMismatch', message);
  }
  return parsed;
}

async function decrypt({ header, parts }: ParsedSeal, context: KeyContext, kek: Kek): Promise<KeyObject> {
  const plaintext = await decryptBytes(parts, kek).catch(async (error: unknown): Promise<never> => {
    if (!(error instanceof errors.JOSEError)) throw error;
    throw await unopened(context, kek);
  });
  const privateKey = importPrivateKey(plaintext);
  if (!privateKey || !isExpected(privateKey, context)) {
    const message = `${subject(context)} opens, but holds another key. Restore its ledger Secret from a backup.`;
    throw new SealError('SealKeyMismatch', message, { kekID: header.kekID });
  }
  kek.confirm();
  return privateKey;
}

/** The sealed key or the KEK was changed; the remedies are not the same, so the KEK is looked at where it can be. */
async function unopened(context: KeyContext, kek: Kek): Promise<SealError> {
  const kekID = kek.id;
  const cause = await kek.verify?.();
  if (cause?.reason === 'KEKChanged') return unusable(context, kekID, cause);
  if (kek.verify && !cause) {
    const message = `${subject(context)} was changed after it was sealed. Restore its ledger Secret from a backup.`;
    return new SealError('SealTampered', message, { kekID });
  }
  const what = `${subject(context)} does not open: KEK ${kekID} has other bytes than those it was sealed with, or the sealed key was changed.`;
  const remedy = 'Put the former KEK back; if this is the one, restore the ledger Secret from a backup.';
  const message = [what, remedy, ...(cause ? [cause.message] : [])].join(' ');
  return new SealError('SealTampered', message, { kekID, cause });
}

function unusable(context: KeyContext, kekID: string, cause: KekError): SealError {
  const message = `${subject(context)} is sealed under KEK ${kekID}, which cannot be used. ${cause.message}`;
  return new SealError('SealKEKMissing', message, { kekID, cause });
}

async function decryptBytes(parts: ParsedSeal['parts'], kek: Kek): Promise<Uint8Array> {
  const { plaintext } = await flattenedDecrypt(parts, kek.key, {
    keyManagementAlgorithms: ['A256KW'],
    contentEncryptionAlgorithms: ['A256GCM'],
  });
  return plaintext;
}

/** Zeroes `plaintext`. Undefined when it is not an RSA private JWK; the parsers' errors are dropped, they quote it. */
function importPrivateKey(plaintext: Uint8Array): KeyObject | undefined {
  try {
    const jwk: JsonWebKey = JSON.parse(
      Buffer.from(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength).toString(),
    );
    const key = createPrivateKey({ key: jwk, format: 'jwk' });
    return key.asymmetricKeyType === 'rsa' ? key : undefined;
  } catch {
    return undefined;
  } finally {
    plaintext.fill(0);
  }
}

function isExpected(privateKey: KeyObject, context: KeyContext): boolean {
  const actual = publicJwk(privateKey);
  const expected = context.publicJWK;
  return expected ? actual.n === expected.n && actual.e === expected.e : actual.kid === context.keyID;
}

function subject({ namespace, registration, keyID }: SealContext): string {
  return `Sealed key ${keyID} of registration ${namespace}/${registration}`;
}
