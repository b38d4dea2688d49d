import { createHash } from 'node:crypto';
import { isJsonObject } from '../lib/json-object.ts';

/** A wrapping key encrypted by a KMS: the input of `Decrypt` in the KMS v2 API. It is stored in the header of what the key sealed. */
export interface WrappedKey {
  /** `key_id` of the key in the KMS that encrypted it. */
  readonly keyID: string;
  /** In base64url. */
  readonly ciphertext: string;
  /** Further input of `Decrypt`; values in base64url. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** Bounds of k8s.io/kms/apis/v2/api.proto in bytes, as kube-apiserver enforces them. */
const longestKeyID = 1024;
const longestCiphertext = 1024;
const mostAnnotations = 32 * 1024;
/** A fully qualified domain name of RFC 1123 with at least two labels. */
const domainName = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$/;

/** A short, valid name derived from any `key_id`. */
export function kekIDOf(keyID: string): string {
  return `kms-${createHash('sha256').update(keyID).digest('hex').slice(0, 16)}`;
}

/** What is wrong with a `key_id`, such as "key_id is empty"; undefined if it is valid. */
export function keyIDProblem(keyID: unknown): string | undefined {
  if (typeof keyID !== 'string' || keyID === '') return 'key_id is empty';
  return Buffer.byteLength(keyID) > longestKeyID ? `key_id has more than ${longestKeyID} bytes` : undefined;
}

/** Narrows a response of a KMS or a header. Calls `refuse` with what is wrong, such as "key_id is empty". */
export function parseWrappedKey(value: unknown, refuse: (what: string) => never): WrappedKey {
  const { keyID, ciphertext, annotations, ...unknown } = isJsonObject(value) ? value : {};
  if (Object.keys(unknown).length > 0) refuse('wrapping key has unknown members');
  const problem = keyIDProblem(keyID);
  if (problem !== undefined) refuse(problem);
  const bytes = lengthOf(ciphertext);
  if (bytes === undefined) refuse('ciphertext is not canonical base64url');
  if (bytes === 0) refuse('ciphertext is empty');
  if (bytes > longestCiphertext) refuse(`ciphertext has more than ${longestCiphertext} bytes`);
  if (!isJsonObject(annotations)) return refuse('annotations are missing');
  let size = 0;
  for (const [name, text] of Object.entries(annotations)) {
    const length = lengthOf(text);
    if (length === undefined) refuse('annotation is not canonical base64url');
    size += Buffer.byteLength(name) + length;
    if (!domainName.test(name.replace(/\.$/, ''))) refuse('annotation is not named by a fully qualified domain name');
  }
  if (size > mostAnnotations) refuse(`annotations have more than ${mostAnnotations} bytes`);
  return { keyID, ciphertext, annotations } as WrappedKey;
}

/** Decoders ignore the spare bits of the last character, so a changed text could decode to the same bytes. */
function lengthOf(text: unknown): number | undefined {
  if (typeof text !== 'string') return undefined;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes.length : undefined;
}
