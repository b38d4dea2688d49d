import { isUtf8 } from 'node:buffer';
import { narrowPublicJwk, type PublicJwk } from '../domain/public-jwk.ts';
import { isJsonObject } from '../lib/json-object.ts';

/** Larger files are refused without reading them. 30,000 keys of 4096 bits fit. */
export const largestDocumentBytes = 32 * 1024 * 1024;

/** NotJSON includes truncated and empty files; PrivateMember takes precedence over every other reason. */
export const documentFaults = ['TooLarge', 'NotJSON', 'NotADocument', 'PrivateMember', 'BadKey'] as const;
export type DocumentFault = (typeof documentFaults)[number];

/** A file that is not a valid document. The message never contains its content. */
export class DocumentError extends Error {
  override readonly name = 'DocumentError';
  readonly reason: DocumentFault;

  constructor(reason: DocumentFault, message: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * The content of a file in the publish directory: a JWK Set (RFC 7517 §5) and, for a day after a revocation, the time until which
 * caches should hold it only briefly. `keys: []` means known but empty: the server answers 404 and never serves an empty set,
 * because php-jwt (Moodle) rejects it.
 */
export interface DocumentFile {
  readonly keys: readonly PublicJwk[];
  /** RFC 3339. */
  readonly revokedUntil?: string;
}

/**
 * Parses a document file, or throws a DocumentError. Unknown members are refused: the file has only `keys` and `revokedUntil`, a key
 * only the six public members.
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

/** What the server makes of a document file: the body of its responses, and how caches may hold it. */
export interface JwksBody {
  /** The JWK Set (RFC 7517 §5), with the members of each key in the order of `narrowPublicJwk`. */
  readonly body: Buffer;
  readonly empty: boolean;
  /** RFC 3339. */
  readonly revokedUntil?: string;
}

/**
 * Reads the body to serve from a document file, or throws a DocumentError as `parseDocumentFile` does. A file that the publisher
 * wrote is served as it is, so `bytes` must not change afterwards. Its keys are checked one at a time and not kept, because the
 * objects of 10,000 keys take four times the memory of the file, whenever one of them changes.
 */
export function readJwksBody(bytes: Buffer): JwksBody {
  const asWritten = readAsWritten(bytes);
  if (asWritten !== undefined) return asWritten;
  const { keys, revokedUntil } = parseDocumentFile(bytes);
  const body = Buffer.from(JSON.stringify({ keys }));
  return { body, empty: keys.length === 0, ...(revokedUntil !== undefined && { revokedUntil }) };
}

const beginning = '{"keys":[';
const ending = /^\](?:,"revokedUntil":"(?<revokedUntil>[^"\\]+)")?\}$/;

/** `undefined` for a file that differs in any byte from what the publisher writes for the same keys. */
function readAsWritten(bytes: Buffer): JwksBody | undefined {
  if (bytes.byteLength > largestDocumentBytes || !isUtf8(bytes)) return undefined;
  const end = endOfKeys(bytes);
  if (end === undefined || bytes.length - end > longestEnding) return undefined;
  const { groups } = ending.exec(bytes.toString('utf8', end)) ?? {};
  if (groups === undefined) return undefined;
  const { revokedUntil } = groups;
  const empty = end === beginning.length;
  if (revokedUntil === undefined) return { body: bytes, empty };
  if (Number.isNaN(Date.parse(revokedUntil))) return undefined;
  return { body: Buffer.concat([bytes.subarray(0, end), Buffer.from(']}')]), empty, revokedUntil };
}

/** Where the list of keys ends, if the file begins with different keys as the publisher writes them. */
function endOfKeys(bytes: Buffer): number | undefined {
  if (bytes.toString('latin1', 0, beginning.length) !== beginning) return undefined;
  const keyIDs = new Set<string>();
  let at = beginning.length;
  while (bytes[at] === (keyIDs.size === 0 ? openingBrace : comma)) {
    const key = keyAsWritten(bytes, keyIDs.size === 0 ? at : at + 1);
    if (key === undefined || keyIDs.has(key.keyID)) return undefined;
    keyIDs.add(key.keyID);
    at = key.end;
  }
  return at;
}

const [openingBrace, closingBrace, comma] = [0x7b, 0x7d, 0x2c];
/** Limit of the bytes after the last key; `revokedUntil` takes far fewer. */
const longestEnding = 256;
/** Limit of the bytes of a key: one of 4096 bits with the longest key ID, escaped, fits. */
const longestKey = 4096;

/** A key contains no object, so it ends at the first brace outside a string. */
function keyAsWritten(bytes: Buffer, start: number): { keyID: string; end: number } | undefined {
  let brace = bytes.indexOf(closingBrace, start);
  while (brace !== -1 && brace - start < longestKey) {
    const text = bytes.toString('utf8', start, brace + 1);
    const jwk = narrowPublicJwk(jsonOrNothing(text));
    if (typeof jwk !== 'string') {
      return JSON.stringify(jwk) === text ? { keyID: jwk.kid, end: brace + 1 } : undefined;
    }
    brace = bytes.indexOf(closingBrace, brace + 1);
  }
  return undefined;
}

function jsonOrNothing(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
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
  if (!isJsonObject(value)) throw new DocumentError('NotADocument', 'the file is not a JSON object');
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

/** RFC 7518 §6.3.2 and §6.4: the members of RSA, EC, OKP and symmetric private keys. */
const privateMembers = new Set(['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']);

/** Walks without recursion, because the file may be nested deeper than the stack allows. */
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
