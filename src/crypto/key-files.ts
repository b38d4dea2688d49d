import type { KeyObject } from 'node:crypto';
import { privateJwk, privatePem, publicPem } from './key-pair.ts';

/** The files that a tool gets for the key that it signs with. */
export interface KeyFiles {
  readonly 'public.pem': string;
  /** Secret. */
  readonly 'private.pem': string;
  /** Secret. */
  readonly 'private.jwk': string;
}

export function keyFiles(keyID: string, privateKey: KeyObject): KeyFiles {
  return {
    'public.pem': publicPem(privateKey),
    'private.pem': privatePem(privateKey),
    'private.jwk': JSON.stringify(privateJwk({ keyID, privateKey })),
  };
}
