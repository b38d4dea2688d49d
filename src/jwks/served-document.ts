import { isAscii } from 'node:buffer';
import { hash } from 'node:crypto';
import { readKeySet } from '../documents/document-file.ts';
import { sliceBytes } from './client-connections.ts';
import type { ServedDocument } from './source.ts';

/**
 * Reads the document in a file; `undefined` without keys. The document keeps a reference to `bytes`. Throws a DocumentError for a
 * file that must not be served.
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
