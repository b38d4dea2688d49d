import type { FlattenedJWE } from 'jose';
import { SealError, type SealReason } from './seal-error.ts';

/** What a sealed key is bound to: it opens nowhere else. */
export interface SealContext {
  readonly namespace: string;
  readonly registration: string;
  readonly keyID: string;
}

/** The protected header. It can be read without a KEK, and is proved only by opening. */
export interface SealedHeader extends SealContext {
  readonly alg: 'A256KW';
  readonly enc: 'A256GCM';
  readonly typ: 'lti-sealed-key';
  /** The plaintext is a private JWK (RFC 7517 §7). */
  readonly cty: 'jwk+json';
  readonly version: 1;
  readonly kekID: string;
}

export interface ParsedSeal {
  readonly header: SealedHeader;
  readonly parts: FlattenedJWE;
}

const fixed = { alg: 'A256KW', enc: 'A256GCM', typ: 'lti-sealed-key', cty: 'jwk+json', version: 1 } as const;
const identifiers = ['namespace', 'registration', 'keyID', 'kekID'] as const;
/** Kubernetes names, key IDs (they name entries of a Secret) and KEK IDs all fit, so messages can quote them. */
const identifier = /^[A-Za-z0-9._-]{1,253}$/;
/** The members of a flattened JWE without unprotected headers (RFC 7516 §7.2.2), and the length of each in bytes. */
const partSizes = { protected: undefined, encrypted_key: 40, iv: 12, ciphertext: undefined, tag: 16 } as const;

export function sealedHeader(context: SealContext, kekID: string): SealedHeader {
  const { namespace, registration, keyID } = context;
  return { ...fixed, namespace, registration, keyID, kekID };
}

/**
 * Reads the one shape that is written: anything more, such as an unprotected header, `zip` or another algorithm, is
 * refused here, before a KEK is touched. Throws `SealError` (SealMalformed, SealVersionUnknown); `subject` begins its
 * message.
 */
export function parseSealed(jwe: string, subject: string): ParsedSeal {
  const refuse = (what: string, reason: SealReason = 'SealMalformed'): never => {
    throw new SealError(reason, `${subject} ${what}.`);
  };
  const parts = parseObject(jwe) ?? refuse('is not a JWE in JSON; restore its ledger Secret from a backup');
  if (!sameMembers(parts, partSizes)) refuse('has not exactly the members of a sealed key');
  for (const [member, size] of Object.entries(partSizes)) {
    const bytes = canonicalBase64url(parts[member]) ?? refuse(`has a "${member}" that is not canonical base64url`);
    if (size !== undefined && bytes.length !== size) refuse(`has a "${member}" of ${bytes.length} bytes, not ${size}`);
  }
  const { protected: encoded } = parts as { protected: string };
  const header = parseObject(Buffer.from(encoded, 'base64url').toString()) ?? refuse('has a header that is not JSON');
  if (header['typ'] !== fixed.typ) refuse(`has a header whose "typ" is not ${fixed.typ}`);
  if (header['version'] !== fixed.version) {
    refuse(`has not format version ${fixed.version}; run the release that wrote it`, 'SealVersionUnknown');
  }
  for (const [member, value] of Object.entries(fixed)) {
    if (header[member] !== value) refuse(`has a header whose "${member}" is not ${value}`);
  }
  for (const member of identifiers) {
    const value = header[member];
    if (typeof value !== 'string' || !identifier.test(value)) refuse(`has a header whose "${member}" is not a name`);
  }
  const narrowed = header as unknown as SealedHeader;
  if (!sameMembers(header, sealedHeader(narrowed, narrowed.kekID))) refuse('has a header with unknown members');
  return { header: narrowed, parts: parts as unknown as FlattenedJWE };
}

/** What a sealed key says about itself, unproved: which KEK is needed, and where it belongs. Throws `SealError`. */
export function describeSealed(jwe: string): SealContext & { readonly kekID: string } {
  const { namespace, registration, keyID, kekID } = parseSealed(jwe, 'The sealed key').header;
  return { namespace, registration, keyID, kekID };
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // The parser's message quotes the text.
    return undefined;
  }
}

function sameMembers(left: object, right: object): boolean {
  return Object.keys(left).toSorted().join() === Object.keys(right).toSorted().join();
}

/** Decoders ignore the spare bits of the last character, which would let a changed text pass as unchanged. */
function canonicalBase64url(value: unknown): Buffer | undefined {
  if (typeof value !== 'string') return undefined;
  const bytes = Buffer.from(value, 'base64url');
  return bytes.toString('base64url') === value ? bytes : undefined;
}
