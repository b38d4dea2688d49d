import { serializeKeySet } from '../../../src/domain/jwks-document.ts';
import type { DocumentFile } from '../../../src/domain/jwks-document.ts';
import { prepareDocument } from '../../../src/jwks/prepared-document.ts';
import type { PreparedDocument } from '../../../src/jwks/prepared-document.ts';

/** A prepared document, all steps at once; `gzipped` as it would be compressed. */
export function prepared(
  { keys, revokedUntil }: DocumentFile,
  maxAge: number,
  now: Date,
  gzipped?: Buffer,
): PreparedDocument {
  const keySet = { body: Buffer.from(serializeKeySet({ keys })), empty: keys.length === 0 };
  const steps = prepareDocument(
    { ...keySet, ...(revokedUntil !== undefined && { revokedUntil }) },
    { maxAge, now, ...(gzipped && { gzipped }) },
  );
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}
