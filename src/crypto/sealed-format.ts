import type { SealReason } from '../api/reasons.ts';
import { isKeyID } from '../domain/key-id.ts';
import type { Kek } from './kek-provider.ts';
import { SealError } from './errors.ts';
import { kekIDOf, parseWrappedKey, type WrappedKey } from './wrapped-key.ts';
import { parseJsonObject } from '../lib/json-object.ts';

/** What a sealed key is bound to. It opens in no other context. */
export interface SealContext {
  readonly namespace: string;
  readonly registration: string;
  readonly keyID: string;
}

/** The protected header. It is readable without a KEK, and authenticated only by opening. */
export interface SealedHeader extends SealContext {
  readonly alg: 'A256KW';
  readonly enc: 'A256GCM';
  readonly typ: 'lti-sealed-key';
  /** The plaintext is a private JWK (RFC 7517 §7). */
  readonly cty: 'jwk+json';
  /** 2 if there is `kms`, otherwise 1. */
  readonly version: 1 | 2;
  readonly kekID: string;
  /** The wrapping key, encrypted by a KMS. `kekID` is then derived from the `key_id` of the KMS. */
  readonly kms?: WrappedKey;
}

export interface ParsedSeal {
  readonly header: SealedHeader;
  /** In base64url, each with the length that its algorithm requires. */
  readonly parts: Readonly<Record<'protected' | 'encrypted_key' | 'iv' | 'ciphertext' | 'tag', string>>;
}

const fixed = { alg: 'A256KW', enc: 'A256GCM', typ: 'lti-sealed-key', cty: 'jwk+json' } as const;
const versions: readonly unknown[] = [1, 2];
/** Matches Kubernetes names and KEK IDs. As with `isKeyID`, messages can quote what matches. */
const isName = (value: string): boolean => /^[A-Za-z0-9._-]{1,253}$/.test(value);
/** The members of `ParsedSeal.parts`. */
const members = ['protected', 'encrypted_key', 'iv', 'ciphertext', 'tag'];

export function sealedHeader(context: SealContext, kek: Pick<Kek, 'id' | 'wrapped'>): SealedHeader {
  const { namespace, registration, keyID } = context;
  const facts = { ...fixed, namespace, registration, keyID, kekID: kek.id };
  return kek.wrapped ? { ...facts, version: 2, kms: kek.wrapped } : { ...facts, version: 1 };
}

/**
 * Parses the only shape that the operator writes, a flattened JWE without unprotected headers (RFC 7516 §7.2.2), and refuses
 * anything else, such as `zip` or another algorithm, before any use of a KEK. Throws `SealError` (SealMalformed,
 * SealVersionUnknown), with `subject` at the start of its message.
 */
export function parseSealed(jwe: string, subject: string): ParsedSeal {
  const refuse = (what: string, reason: SealReason = 'SealMalformed'): never => {
    const other = reason === 'SealVersionUnknown' ? 'Run the release that sealed it, or restore' : 'Restore';
    throw new SealError(reason, `${subject} ${what}. ${other} its ledger Secret from a backup`);
  };
  const json = parseJsonObject(jwe) ?? refuse('is not a JWE in JSON');
  if (!sameMembers(Object.keys(json), members)) refuse('does not have exactly the members of a sealed key');
  const part = (member: string, size?: number): string => {
    const value = json[member];
    const bytes = typeof value === 'string' ? Buffer.from(value, 'base64url') : Buffer.alloc(0);
    // Decoders ignore the spare bits of the last character, so a changed text could decode to the same bytes.
    const text = bytes.toString('base64url');
    if (text !== value) refuse(`has a "${member}" that is not canonical base64url`);
    if (size !== undefined && bytes.length !== size) refuse(`has a "${member}" of ${bytes.length} bytes, not ${size}`);
    return text;
  };
  const parts = {
    protected: part('protected'),
    encrypted_key: part('encrypted_key', 40),
    iv: part('iv', 12),
    ciphertext: part('ciphertext'),
    tag: part('tag', 16),
  };
  return { header: parseHeader(parts.protected, refuse), parts };
}

function parseHeader(encoded: string, refuse: (what: string, reason?: SealReason) => never): SealedHeader {
  const json = parseJsonObject(Buffer.from(encoded, 'base64url').toString()) ?? refuse('has a header that is not JSON');
  if (json['typ'] !== fixed.typ) refuse(`has a header whose "typ" is not ${fixed.typ}`);
  if (!versions.includes(json['version'])) {
    refuse(`has a format version other than ${versions.join(' and ')}, which this release reads`, 'SealVersionUnknown');
  }
  for (const [member, value] of Object.entries(fixed)) {
    if (json[member] !== value) refuse(`has a header whose "${member}" is not ${value}`);
  }
  const identifier = (member: string, passes = isName): string => {
    const value = json[member];
    if (typeof value === 'string' && passes(value)) return value;
    return refuse(`has a header whose "${member}" is not a name`);
  };
  const context = {
    namespace: identifier('namespace'),
    registration: identifier('registration'),
    keyID: identifier('keyID', isKeyID),
  };
  const kek = { id: identifier('kekID') };
  const wrapped =
    json['version'] === 2 && parseWrappedKey(json['kms'], (what) => refuse(`has a header whose KMS ${what}`));
  if (wrapped && kekIDOf(wrapped.keyID) !== kek.id) refuse('has a header whose "kekID" is not that of its KMS key_id');
  const header = sealedHeader(context, wrapped ? { ...kek, wrapped } : kek);
  if (!sameMembers(Object.keys(json), Object.keys(header))) refuse('has a header with unknown members');
  return header;
}

/** The ID of the KEK that the header of a sealed key names, not authenticated; undefined if the text is not a sealed key. */
export function namedKek(jwe: string): string | undefined {
  try {
    return parseSealed(jwe, 'the sealed key').header.kekID;
  } catch (error) {
    if (error instanceof SealError) return undefined;
    throw error;
  }
}

function sameMembers(left: string[], right: string[]): boolean {
  return left.toSorted().join() === right.toSorted().join();
}
