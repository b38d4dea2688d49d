import { createHash } from 'node:crypto';

/** RFC 7638 SHA-256 thumbprint of an RSA public key, base64url: the members in this order, without white space. */
export function rsaThumbprint({ n, e }: { readonly n: string; readonly e: string }): string {
  return createHash('sha256')
    .update(JSON.stringify({ e, kty: 'RSA', n }))
    .digest('base64url');
}
