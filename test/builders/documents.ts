import type { DocumentFile } from '../../src/documents/document-file.ts';
import type { PublicJwk } from '../../src/domain/public-jwk.ts';
import { type Collision, DocumentRenderer } from '../../src/publish/document-renderer.ts';
import type { PublishedKey } from '../../src/publish/published-key.ts';

/** An odd modulus of `bits`, different for each `seed`; no test verifies a signature with it. */
export function modulus(bits: number, seed: number): string {
  const octets = Buffer.alloc(Math.ceil(bits / 8), seed);
  octets[0] = 1 << ((bits - 1) % 8);
  return octets.toString('base64url');
}

export function jwk(kid: string, seed = 7): PublicJwk {
  return { kty: 'RSA', use: 'sig', alg: 'RS256', kid, n: modulus(2048, seed), e: 'AQAB' };
}

export function key(
  namespace: string,
  registration: string,
  revision: number,
  more: Partial<PublishedKey> = {},
): PublishedKey {
  const publicJWK = jwk(`${namespace}-${registration}-${revision}`);
  return { namespace, registration, revision, state: 'Active', publicJWK, ...more };
}

/** The documents of `keys`, registration by registration as they come, parsed, and the collisions in them. */
export function buildDocuments(
  keys: readonly PublishedKey[],
  options: { all: boolean },
): { documents: Map<string, DocumentFile>; collisions: readonly Collision[] } {
  const renderer = new DocumentRenderer(options);
  for (const [place, own] of Map.groupBy(keys, ({ namespace, registration }) => `${namespace}/${registration}`)) {
    const [namespace = '', registration = ''] = place.split('/');
    renderer.setKeys(namespace, registration, own);
  }
  const texts = renderer.files().map((file) => [file, renderer.render(file)] as const);
  return {
    documents: new Map(texts.map(([file, text]) => [file, JSON.parse(text?.pieces.join('') ?? '')])),
    collisions: texts.flatMap(([, text]) => text?.collisions ?? []),
  };
}

export const kids = (document: { keys: readonly PublicJwk[] } | undefined): readonly string[] | undefined =>
  document?.keys.map(({ kid }) => kid);
