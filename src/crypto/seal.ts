import { createPrivateKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { errors, flattenedDecrypt, FlattenedEncrypt } from 'jose';
import type { PublicJwk } from '../domain/public-jwk.ts';
import { KekError, SealError } from './errors.ts';
import { publicJwk } from './key-pair.ts';
import type { Kek, KekProvider } from './kek-provider.ts';
import { parseSealed, sealedHeader, type ParsedSeal, type SealContext } from './sealed-format.ts';

/** `publicJWK` is required for a key with a foreign key ID, which is not its thumbprint. */
export interface KeyContext extends SealContext {
  readonly publicJWK?: PublicJwk;
}

/**
 * Seals a private key for one registration and key ID: JWE JSON serialization (RFC 7516 §7.2.2), A256KW and A256GCM with a fresh
 * content key. Opens and compares the result before returning it. Throws `KekError` if no KEK can seal, and `SealError` if the
 * context does not match the key.
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

/** A sealed key whose header matches its context, and the KEK that the header names. */
export interface Located {
  readonly parsed: ParsedSeal;
  readonly context: KeyContext;
  readonly kek: Kek;
}

/** Opens a sealed key. Throws `SealError`, for example if it was sealed for another context. */
export async function open(jwe: string, context: KeyContext, keks: KekProvider): Promise<KeyObject> {
  return openLocated(await locate(jwe, context, keks));
}

/** First half of opening: compares the header with the context and finds the KEK. Throws `SealError`. */
export async function locate(jwe: string, context: KeyContext, keks: KekProvider): Promise<Located> {
  const parsed = parseInPlace(jwe, context);
  const { kekID, kms } = parsed.header;
  const kek = await keks.openingKey(kekID, kms).catch((cause: unknown): never => {
    if (!(cause instanceof KekError)) throw cause;
    throw unusable(context, kekID, cause);
  });
  return { parsed, context, kek };
}

/** Second half of opening: decrypts and compares the public half. Throws `SealError`. */
export function openLocated({ parsed, context, kek }: Located): Promise<KeyObject> {
  return decrypt(parsed, context, kek);
}

function parseInPlace(jwe: string, context: KeyContext): ParsedSeal {
  const parsed = parseSealed(jwe, subject(context));
  for (const member of ['namespace', 'registration', 'keyID'] as const) {
    if (parsed.header[member] === context[member]) continue;
    const { namespace, registration, keyID } = parsed.header;
    const message = `${subject(context)} has another ${member}: it was sealed as key ${keyID} of ${namespace}/${registration}. Restore its ledger Secret and that of ${namespace}/${registration} from a backup`;
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
    const message = `${subject(context)} decrypts to a different key. Restore its ledger Secret from a backup`;
    throw new SealError('SealKeyMismatch', message, { kekID: header.kekID });
  }
  kek.confirm();
  return privateKey;
}

/** Either the sealed key or the KEK was changed. The remedies differ, so this checks the KEK if it can. */
async function unopened(context: KeyContext, kek: Kek): Promise<SealError> {
  const kekID = kek.id;
  const cause = await kek.verify?.();
  if (cause?.reason === 'KEKChanged') return unusable(context, kekID, cause);
  if (kek.verify && !cause) {
    const message = `${subject(context)} was changed after it was sealed. Restore its ledger Secret from a backup`;
    return new SealError('SealTampered', message, { kekID });
  }
  const what = `${subject(context)} does not decrypt: KEK ${kekID} has other bytes than when the key was sealed, or the sealed key was changed`;
  const remedy = 'Restore the old KEK; if the KEK is unchanged, restore the ledger Secret from a backup';
  const message = [what, remedy, ...(cause ? [`Also, ${cause.message}`] : [])].join('. ');
  return new SealError('SealTampered', message, { kekID, cause });
}

function unusable(context: KeyContext, kekID: string, cause: KekError): SealError {
  const message = `${subject(context)} is sealed under KEK ${kekID}, which cannot be used: ${cause.message}`;
  return new SealError('SealKEKMissing', message, { kekID, cause });
}

async function decryptBytes(parts: ParsedSeal['parts'], kek: Kek): Promise<Uint8Array> {
  const { plaintext } = await flattenedDecrypt(parts, kek.key, {
    keyManagementAlgorithms: ['A256KW'],
    contentEncryptionAlgorithms: ['A256GCM'],
  });
  return plaintext;
}

/** Zeroes `plaintext`. Undefined if it is not an RSA private JWK. Drops the errors of the parsers, which quote it. */
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
  return `sealed key ${keyID} of registration ${namespace}/${registration}`;
}
