import { createHash } from 'node:crypto';

/** Key IDs that can name an entry of a Secret. The API server refuses entries that begin with `..`. */
const plain = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/;
/** A key ID that looks like a derived name is hashed, too, so that it cannot name the entry of another key. */
const derived = /^kid-[A-Za-z0-9_-]{43}$/;

/** The entry of the ledger Secret for a sealed key. Entries match `[-._a-zA-Z0-9]+`; key IDs need not. */
export function sealedEntry(keyID: string): string {
  if (plain.test(keyID) && !derived.test(keyID)) return `${keyID}.jwe`;
  return `kid-${createHash('sha256').update(keyID).digest('base64url')}.jwe`;
}
