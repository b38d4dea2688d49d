import { isJsonObject } from '../lib/json-object.ts';

/** RSA moduli in bits, of generated and imported keys alike. The public exponent is always 65537. */
export const keySizes = [2048, 3072, 4096] as const;
export type KeySize = (typeof keySizes)[number];
export const publicExponent = 'AQAB';

/** The public half of an RSA signing key, with exactly the members that are served (RFC 7517 §4, RFC 7518 §6.3.1). */
export interface PublicJwk {
  readonly kty: 'RSA';
  readonly use: 'sig';
  readonly alg: 'RS256';
  /** RFC 7638 SHA-256 thumbprint in base64url, 43 characters; an imported key may have another ID of up to 256 characters. */
  readonly kid: string;
  /** Modulus, base64url without padding. */
  readonly n: string;
  /** Public exponent, base64url without padding. */
  readonly e: string;
}

/** The key, or why `value` is not one that is served, as a phrase that can follow the name of the key. */
export function narrowPublicJwk(value: unknown): PublicJwk | string {
  if (!isJsonObject(value)) return 'is not a JSON object';
  const { kty, use, alg, kid, n, e, ...unknown } = value;
  if (Object.keys(unknown).length > 0) return 'has members beyond kty, use, alg, kid, n and e';
  if (kty !== 'RSA' || use !== 'sig' || alg !== 'RS256') return 'is not an RSA key for RS256 signatures';
  if (typeof kid !== 'string' || kid === '' || kid.length > maximumKeyIDLength) return 'has no usable kid';
  const bits = modulusBits(n);
  if (typeof n !== 'string' || bits === undefined)
    return 'has an n that is not an unpadded base64url integer without leading zeros';
  if (!isKeySize(bits)) return `has a modulus that is not of ${keySizes.join(', ')} bits`;
  if (e !== publicExponent) return `has an e other than ${publicExponent} (65537)`;
  return { kty, use, alg, kid, n, e };
}

/** An imported key may keep the key ID of its former system. */
const maximumKeyIDLength = 256;

/** RFC 7518 §2 Base64urlUInt: the fewest octets, no padding. */
function decodeInteger(value: unknown): Buffer | undefined {
  if (typeof value !== 'string') return undefined;
  const octets = Buffer.from(value, 'base64url');
  return octets.length > 0 && octets[0] !== 0 && octets.toString('base64url') === value ? octets : undefined;
}

function modulusBits(n: unknown): number | undefined {
  const octets = decodeInteger(n);
  return octets && octets.length * 8 - (Math.clz32(octets[0] ?? 0) - 24);
}

export function isKeySize(bits: number): bits is KeySize {
  return keySizes.some((size) => size === bits);
}
