import {
  createPrivateKey,
  createPublicKey,
  type JsonWebKey,
  type KeyObject,
  sign,
  verify,
  type webcrypto,
} from 'node:crypto';
import { join } from 'node:path';
import { compactDecrypt } from 'jose';
import { KeyDirectoryError } from './errors.ts';
import type { Files, ReadFiles } from './files.ts';
import { type Registration, registrationOf } from './registration.ts';

/** One version of what a registration delivers. */

export interface PublicJwk {
  readonly kty: 'RSA';
  readonly use: 'sig';
  readonly alg: 'RS256';
  readonly kid: string;
  readonly n: string;
  readonly e: string;
}

export interface Delivery {
  /** The `kid` of the header of each token. */
  readonly keyID: string;
  readonly privateKey: KeyObject;
  /** The public half; `privateKey.export({ format: 'jwk' })` is the private one. */
  readonly jwk: PublicJwk;
  readonly registration: Registration;
  /** The keys that the operator publishes for the registration; only the signing one without the file jwks.json. */
  readonly jwks: readonly PublicJwk[];
}

/** The private key of `spec.delivery.recipient`. */
export type RecipientKey = KeyObject | webcrypto.CryptoKey | JsonWebKey;

/** `withdrawn`: the operator removed the key on purpose. */
export type Version =
  | { readonly kind: 'key'; readonly delivery: Delivery }
  | { readonly kind: 'withdrawn'; readonly error: KeyDirectoryError };

/** Where the files of a registration are: `prefix` is its name and a dot in a bundle, else empty. */
export interface Place {
  readonly path: string;
  readonly prefix: string;
}

/** What the files say. It rejects with a `KeyDirectoryError` if they are not usable. */
export async function versionOf(
  { files, isMount }: ReadFiles,
  place: Place,
  recipientKey: RecipientKey | undefined,
): Promise<Version> {
  const { path, prefix } = place;
  const file = (name: keyof Files): string => join(path, prefix + name);
  if (Object.keys(files).length === 0) throw noFiles(place);
  const registration = registrationOf(
    objectOf(files['registration.json'], file('registration.json')),
    file('registration.json'),
  );
  if (files['private.jwk'] === undefined && files['private.jwe'] === undefined) {
    const error = noKey(registration, file('private.jwk'));
    // Without a mount, the other files may not be written yet.
    if (error.code !== 'NoSigningKey' || !isMount || files.kid !== undefined) throw error;
    return { kind: 'withdrawn', error };
  }
  const source = file(files['private.jwk'] === undefined ? 'private.jwe' : 'private.jwk');
  const text = files['private.jwk'] ?? (await decrypted(files['private.jwe'] ?? '', source, recipientKey));
  const { privateKey, jwk } = keyOf(objectOf(text, source), source);
  const jwksText = files['jwks.json'];
  const jwks = jwksText === undefined ? [jwk] : jwksOf(objectOf(jwksText, file('jwks.json')), file('jwks.json'));
  const other = fileOfAnotherKey(files, { jwk, registration, jwks });
  if (other !== undefined) {
    const remedy = 'read all files from one version: mount the whole Secret, without subPath, and copy nothing into it';
    throw new KeyDirectoryError('FilesDisagree', file(other), `it belongs to another key than ${source}`, remedy);
  }
  return { kind: 'key', delivery: Object.freeze({ keyID: jwk.kid, privateKey, jwk, registration, jwks }) };
}

/** Neither a file of a Secret nor of a registration in a bundle. */
export function noFiles({ path, prefix }: Place): KeyDirectoryError {
  const [what, remedy] =
    prefix === ''
      ? ['it has no file of a delivery', 'mount the delivery Secret as a directory at this path']
      : [
          `it has no file of a delivery that begins with ${prefix}`,
          'mount all Secrets of the bundle at this path, and see the conditions of the LtiRegistration',
        ];
  return new KeyDirectoryError('DirectoryMissing', path, what, remedy);
}

function noKey({ kid }: Registration, file: string): KeyDirectoryError {
  if (kid !== undefined) {
    const remedy = 'add it to spec.delivery.files of the LtiRegistration';
    return new KeyDirectoryError('FileMissing', file, 'it does not exist', remedy);
  }
  const remedy = 'see the conditions of the LtiRegistration; the files appear with the next key';
  return new KeyDirectoryError('NoSigningKey', file, 'the operator delivers no key', remedy);
}

function fileOfAnotherKey(
  files: Files,
  { jwk, registration, jwks }: Pick<Delivery, 'jwk' | 'registration' | 'jwks'>,
): keyof Files | undefined {
  if (files.kid !== undefined && files.kid !== jwk.kid) return 'kid';
  if (registration.kid !== undefined && registration.kid !== jwk.kid) return 'registration.json';
  if (files['public.pem'] !== undefined && !isPublicHalf(files['public.pem'], jwk)) return 'public.pem';
  if (!jwks.some(({ kid, n, e }) => kid === jwk.kid && n === jwk.n && e === jwk.e)) return 'jwks.json';
  return undefined;
}

/** Whether two versions are the same for a tool; another registration of a bundle may have changed. */
export function isSame(one: Delivery, other: Delivery): boolean {
  const told = ({ jwk, registration, jwks }: Delivery): string => JSON.stringify([jwk, registration, jwks]);
  return told(one) === told(other) && one.privateKey.equals(other.privateKey);
}

/** The errors of JSON.parse quote the text, so none of them gets out. */
function objectOf(text: string | undefined, file: string): Readonly<Record<string, unknown>> {
  const remedy = 'mount the delivery Secret unchanged, as a whole directory';
  if (text === undefined) throw new KeyDirectoryError('FileMissing', file, 'it does not exist', remedy);
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Reported below.
  }
  throw new KeyDirectoryError('FileMalformed', file, 'it is not a JSON object', remedy);
}

function jwksOf({ keys }: Readonly<Record<string, unknown>>, file: string): readonly PublicJwk[] {
  if (!Array.isArray(keys)) {
    throw new KeyDirectoryError('FileMalformed', file, 'it has no array keys', 'mount the delivery Secret unchanged');
  }
  return keys.map((key: unknown) => publicJwkOf((key ?? {}) as Readonly<Record<string, unknown>>, file));
}

/** Only public members (RFC 7518 §6.3.1), whatever else the file has. */
function publicJwkOf({ kty, kid, n, e }: Readonly<Record<string, unknown>>, file: string): PublicJwk {
  if (kty !== 'RSA' || typeof kid !== 'string' || kid === '' || typeof n !== 'string' || typeof e !== 'string') {
    throw new KeyDirectoryError(
      'FileMalformed',
      file,
      'it has no RSA key with the members kid, n and e',
      'mount the delivery Secret unchanged',
    );
  }
  return { kty, use: 'sig', alg: 'RS256', kid, n, e };
}

const sample = Buffer.from('lti-key-operator');

function keyOf(value: Readonly<Record<string, unknown>>, file: string): Pick<Delivery, 'privateKey' | 'jwk'> {
  const jwk = publicJwkOf(value, file);
  try {
    const privateKey = createPrivateKey({ key: value, format: 'jwk' });
    const publicKey = createPublicKey({ key: { kty: jwk.kty, n: jwk.n, e: jwk.e }, format: 'jwk' });
    // OpenSSL imports a private half without comparing it with the public one.
    if (verify('sha256', sample, publicKey, sign('sha256', sample, privateKey))) return { privateKey, jwk };
  } catch {
    // Reported below.
  }
  const what = 'its private half is missing or does not belong to its public half';
  throw new KeyDirectoryError('FileMalformed', file, what, 'mount the delivery Secret unchanged');
}

function isPublicHalf(pem: string, { n, e }: PublicJwk): boolean {
  try {
    const other = createPublicKey(pem).export({ format: 'jwk' });
    return other.n === n && other.e === e;
  } catch {
    return false;
  }
}

async function decrypted(jwe: string, file: string, key: RecipientKey | undefined): Promise<string> {
  if (key === undefined) {
    const remedy = 'pass the private key of spec.delivery.recipient as recipientKey';
    throw new KeyDirectoryError('RecipientKeyMissing', file, 'the signing key is encrypted', remedy);
  }
  try {
    const { plaintext } = await compactDecrypt(jwe, isJwk(key) ? createPrivateKey({ key, format: 'jwk' }) : key, {
      keyManagementAlgorithms: ['RSA-OAEP-256', 'ECDH-ES', 'ECDH-ES+A256KW'],
      contentEncryptionAlgorithms: ['A256GCM'],
    });
    return Buffer.from(plaintext).toString();
  } catch {
    const remedy = 'pass the private key that belongs to spec.delivery.recipient of the registration';
    throw new KeyDirectoryError('RecipientMismatch', file, 'recipientKey does not decrypt it', remedy);
  }
}

function isJwk(key: RecipientKey): key is JsonWebKey {
  return typeof (key as JsonWebKey).kty === 'string';
}
