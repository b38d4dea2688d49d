import { isAscii } from 'node:buffer';
import { hash } from 'node:crypto';
import { readJwksBody } from '../documents/document-file.ts';
import { sliceBytes } from './client-connections.ts';
import type { ServedDocument } from './source.ts';

/**
 * The document to serve from the bytes of a file; `undefined` without keys. The document keeps a reference to `bytes`. Throws a DocumentError for a
 * file that must not be served.
 */
export function createServedDocument(bytes: Buffer): ServedDocument | undefined {
  const { body, empty, revokedUntil } = readJwksBody(bytes);
  if (empty) return undefined;
  return {
    body: body.length <= sliceBytes && isAscii(body) ? body.toString('latin1') : body,
    bytes: body.length,
    etag: `"${hash('sha256', body, 'base64url')}"`,
    revokedUntil: revokedUntil === undefined ? 0 : Date.parse(revokedUntil),
  };
}
