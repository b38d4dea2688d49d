import { isAscii } from 'node:buffer';
import { hash } from 'node:crypto';
import { readKeySet } from '../documents/document-file.ts';
import { sliceBytes } from './connections.ts';
import type { ServedDocument } from './source.ts';

/**
 * From the bytes of a file, which it takes over, to what is sent; `undefined` without keys. Throws a DocumentError for what
 * is not to be served.
 */
export function readDocument(bytes: Buffer): ServedDocument | undefined {
  const { body, empty, revokedUntil } = readKeySet(bytes);
  if (empty) return undefined;
  return {
    body: body.length <= sliceBytes && isAscii(body) ? body.toString('latin1') : body,
    bytes: body.length,
    etag: `"${hash('sha256', body, 'base64url')}"`,
    revokedUntil: revokedUntil === undefined ? 0 : Date.parse(revokedUntil),
  };
}
