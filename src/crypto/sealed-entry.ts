import { createHash } from 'node:crypto';

/** What names an entry of a Secret as it is. Entries that begin with `..` are the API server's to refuse. */
const plain = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/;
/** An ID that looks like a derived name gets one of its own, so that nobody can choose the entry of another key. */
const derived = /^kid-[A-Za-z0-9_-]{43}$/;

/** The entry of the ledger Secret that holds a sealed key: a Secret's keys are of `[-._a-zA-Z0-9]`, key IDs are not. */
export function sealedEntry(keyID: string): string {
  if (plain.test(keyID) && !derived.test(keyID)) return `${keyID}.jwe`;
  return `kid-${createHash('sha256').update(keyID).digest('base64url')}.jwe`;
}
