import {
  createPrivateKey,
  createPublicKey,
  type JsonWebKey,
  type KeyObject,
  sign,
  verify,
  type webcrypto,
} from 'node:crypto';
import { readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { compactDecrypt } from 'jose';
import { KeyDirectoryError } from './errors.ts';
import { type Registration, registrationOf } from './registration.ts';

/** One version of the directory, read as a whole. */

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

const names = ['private.jwk', 'private.jwe', 'public.pem', 'kid', 'jwks.json', 'registration.json'] as const;
type Files = Readonly<Partial<Record<(typeof names)[number], string>>>;

/**
 * Names the version that the directory has now: the target of the kubelet's link `..data`, or the state of the files if a directory has
 * no such link, as on a laptop. Two equal names mean equal files.
 */
export async function versionName(path: string, prefix: string): Promise<string> {
  let target: string | undefined;
  for (let next = await dataTarget(path); next !== undefined && next !== target; next = await dataTarget(path)) {
    target = next;
    try {
      const { ino, ctimeMs } = await stat(join(path, target));
      return `..data ${target} ${ino} ${ctimeMs}`;
    } catch (error) {
      // After a swap the previous target is gone, and the link has another one.
      if (codeOf(error) !== 'ENOENT') fail(error, join(path, '..data'));
    }
  }
  if (target !== undefined) fail({ code: 'ENOENT' }, join(path, '..data'));
  const states = names.map(async (file) => {
    const name = prefix + file;
    try {
      const { ino, size, mtimeMs } = await stat(join(path, name));
      return `${name} ${ino} ${size} ${mtimeMs}`;
    } catch (error) {
      return `${name} ${codeOf(error)}`;
    }
  });
  return (await Promise.all(states)).join(', ');
}

/** Reads the version that `versionName` named. If another one takes its place meanwhile, the names before and after differ. */
export async function readVersion(
  path: string,
  recipientKey: RecipientKey | undefined,
  prefix: string,
): Promise<Version> {
  const target = await dataTarget(path);
  const pinned = target === undefined ? path : join(path, target);
  // Messages name the files as the tool finds them, not the kubelet's directory.
  const file = (name: (typeof names)[number]): string => join(path, prefix + name);
  const entries = await Promise.all(
    names.map(async (name) => [name, await textOf(join(pinned, prefix + name), file(name))] as const),
  );
  const files: Files = Object.fromEntries(entries.filter(([, text]) => text !== undefined));
  if (Object.keys(files).length === 0) {
    const remedy =
      prefix === ''
        ? 'mount the delivery Secret as a directory at this path'
        : 'mount all Secrets of the bundle at this path, and see the conditions of the LtiRegistration';
    const what =
      prefix === '' ? 'it has no file of a delivery' : `it has no file of a delivery that begins with ${prefix}`;
    throw new KeyDirectoryError('DirectoryMissing', path, what, remedy);
  }
  const registration = registrationOf(
    objectOf(files['registration.json'], file('registration.json')),
    file('registration.json'),
  );
  if (files['private.jwk'] === undefined && files['private.jwe'] === undefined) {
    if (registration.kid !== undefined) {
      const remedy = 'add it to spec.delivery.files of the LtiRegistration';
      throw new KeyDirectoryError('FileMissing', file('private.jwk'), 'it does not exist', remedy);
    }
    const remedy = 'see the conditions of the LtiRegistration; the files appear with the next key';
    const error = new KeyDirectoryError('NoSigningKey', file('private.jwk'), 'the operator delivers no key', remedy);
    if (target === undefined || files.kid !== undefined) throw error;
    return { kind: 'withdrawn', error };
  }
  const source = file(files['private.jwk'] === undefined ? 'private.jwe' : 'private.jwk');
  const text = files['private.jwk'] ?? (await decrypted(files['private.jwe'] ?? '', source, recipientKey));
  const { privateKey, jwk } = keyOf(objectOf(text, source), source);
  const jwksText = files['jwks.json'];
  const jwks = jwksText === undefined ? [jwk] : jwksOf(objectOf(jwksText, file('jwks.json')), file('jwks.json'));

  const disagree = (other: string): never => {
    const remedy = 'read all files from one version: mount the whole Secret, without subPath, and copy nothing into it';
    throw new KeyDirectoryError('FilesDisagree', other, `it belongs to another key than ${source}`, remedy);
  };
  if (files.kid !== undefined && files.kid !== jwk.kid) disagree(file('kid'));
  if (registration.kid !== undefined && registration.kid !== jwk.kid) disagree(file('registration.json'));
  if (files['public.pem'] !== undefined && !isPublicHalf(files['public.pem'], jwk)) disagree(file('public.pem'));
  if (!jwks.some(({ kid, n, e }) => kid === jwk.kid && n === jwk.n && e === jwk.e)) disagree(file('jwks.json'));
  return { kind: 'key', delivery: Object.freeze({ keyID: jwk.kid, privateKey, jwk, registration, jwks }) };
}

/** Whether two versions are the same for a tool; another registration of a bundle may have changed. */
export function isSame(one: Delivery, other: Delivery): boolean {
  const told = ({ jwk, registration, jwks }: Delivery): string => JSON.stringify([jwk, registration, jwks]);
  return told(one) === told(other) && one.privateKey.equals(other.privateKey);
}

async function dataTarget(path: string): Promise<string | undefined> {
  try {
    return await readlink(join(path, '..data'));
  } catch (error) {
    if (codeOf(error) === 'EINVAL') return undefined;
    if (codeOf(error) !== 'ENOENT') return fail(error, join(path, '..data'));
  }
  await stat(path).catch((error: unknown) => fail(error, path));
  return undefined;
}

/** `undefined` if there is no such file. */
async function textOf(file: string, shownAs: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? undefined : fail(error, shownAs);
  }
}

function fail(error: unknown, file: string): never {
  const code = codeOf(error);
  if (code === 'ENOENT') {
    const remedy = 'mount the delivery Secret as a directory at this path';
    throw new KeyDirectoryError('DirectoryMissing', file, 'it does not exist', remedy);
  }
  const remedy = 'let the user of the process read it, for example with fsGroup in the Pod';
  throw new KeyDirectoryError('FileUnreadable', file, `reading fails with ${code}`, remedy);
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'an unknown error';
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
