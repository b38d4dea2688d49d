import { hash } from 'node:crypto';

/** RFC 7638 SHA-256 thumbprint of an RSA public key, base64url. The order of the members is significant. */
export function rsaThumbprint({ n, e }: { readonly n: string; readonly e: string }): string {
  return hash('sha256', JSON.stringify({ e, kty: 'RSA', n }), 'base64url');
}
