import type { DocumentFile } from './jwks-document.ts';
import type { PublicJwk } from './jwk.ts';

/** Larger files are refused unread: 30,000 keys of 2048 bits fit. */
export const largestDocumentBytes = 16 * 1024 * 1024;

/** NotJSON also covers torn and empty files; PrivateMember wins over every other reason. */
export type DocumentFault = 'TooLarge' | 'NotJSON' | 'NotADocument' | 'PrivateMember' | 'BadKey';

/** A file that is not a document. The message never repeats its content. */
export class DocumentError extends Error {
  override readonly name = 'DocumentError';
  readonly reason: DocumentFault;

  constructor(reason: DocumentFault, message: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * A document file from its bytes, or a DocumentError. Nothing unknown passes: no member beyond `keys` and
 * `revokedUntil`, in a key no member beyond the six public ones.
 */
export function parseDocumentFile(bytes: unknown): DocumentFile {
  const value = parseJson(bytes);
  try {
    return narrowDocument(value);
  } catch (error) {
    if (hasPrivateMember(value)) throw new DocumentError('PrivateMember', 'the file holds a member of a private key');
    throw error;
  }
}

function parseJson(bytes: unknown): unknown {
  if (!(bytes instanceof Uint8Array)) throw new DocumentError('NotJSON', 'there are no bytes');
  if (bytes.byteLength > largestDocumentBytes) {
    throw new DocumentError('TooLarge', `the file is larger than ${largestDocumentBytes} bytes`);
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new DocumentError('NotJSON', 'the file is not JSON');
  }
}

function narrowDocument(value: unknown): DocumentFile {
  if (!isRecord(value)) throw new DocumentError('NotADocument', 'the file is not a JSON object');
  const { keys, revokedUntil, ...unknown } = value;
  if (Object.keys(unknown).length > 0) throw new DocumentError('NotADocument', 'the file has unknown members');
  if (!Array.isArray(keys)) throw new DocumentError('NotADocument', 'keys is not a list');
  if (revokedUntil !== undefined && (typeof revokedUntil !== 'string' || Number.isNaN(Date.parse(revokedUntil)))) {
    throw new DocumentError('NotADocument', 'revokedUntil is not a time');
  }
  const narrowed = keys.map((key: unknown, index) => {
    const jwk = narrowPublicJwk(key);
    if (typeof jwk === 'string') throw new DocumentError('BadKey', `keys[${index}] ${jwk}`);
    return jwk;
  });
  if (new Set(narrowed.map(({ kid }) => kid)).size !== narrowed.length) {
    throw new DocumentError('BadKey', 'two keys have the same kid');
  }
  return { keys: narrowed, ...(revokedUntil !== undefined && { revokedUntil }) };
}

/** The key, or what makes `value` something we do not serve, said so that it can follow the key's name. */
export function narrowPublicJwk(value: unknown): PublicJwk | string {
  if (!isRecord(value)) return 'is not a JSON object';
  const { kty, use, alg, kid, n, e, ...unknown } = value;
  if (Object.keys(unknown).length > 0) return 'has members beyond kty, use, alg, kid, n and e';
  if (kty !== 'RSA' || use !== 'sig' || alg !== 'RS256') return 'is not an RSA key for RS256 signatures';
  if (typeof kid !== 'string' || kid === '' || kid.length > longestKeyID) return 'has no usable kid';
  const bits = modulusBits(n);
  if (typeof n !== 'string' || bits === undefined)
    return 'has an n that is not an unpadded base64url integer without leading zeros';
  if (bits < 2048 || bits > 8192) return 'has a modulus outside 2048 to 8192 bits';
  if (!isExponent(e)) return 'has an e that is not an odd base64url integer of 2 to 64 bits';
  return { kty, use, alg, kid, n, e };
}

/** An imported key may keep a foreign key ID; this is far above any seen. */
const longestKeyID = 256;

/** RFC 7518 §2 Base64urlUInt: the fewest octets, no padding. */
function decodeInteger(value: unknown): Buffer | undefined {
  if (typeof value !== 'string') return undefined;
  const octets = Buffer.from(value, 'base64url');
  return octets.length > 0 && octets[0] !== 0 && octets.toString('base64url') === value ? octets : undefined;
}

function modulusBits(n: unknown): number | undefined {
  const octets = decodeInteger(n);
  return octets && octets.length * 8 - (Math.clz32(octets[0] ?? 0) - 24);
}

function isExponent(e: unknown): e is string {
  const octets = decodeInteger(e);
  return octets !== undefined && octets.length <= 8 && (octets.at(-1) ?? 0) % 2 === 1 && !octets.equals(Buffer.of(1));
}

/** RFC 7518 §6.3.2 and §6.4: the members of RSA, EC, OKP and symmetric private keys. */
const privateMembers = new Set(['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']);

/** Walks without recursion: the file may be nested deeper than the stack. */
function hasPrivateMember(value: unknown): boolean {
  const open = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== 'object' || next === null) continue;
    if (!Array.isArray(next) && Object.keys(next).some((name) => privateMembers.has(name))) return true;
    for (const member of Object.values(next)) open.push(member);
  }
  return false;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
