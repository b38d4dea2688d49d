import { createPrivateKey, type KeyObject } from 'node:crypto';
import { isKeyID } from '../domain/key-id.ts';
import { isJsonObject } from '../lib/json-object.ts';
import { ImportKeyError } from './errors.ts';

/** RFC 7518 §6.3.2: the members of an RSA private key with two primes, beside `n` and `e`. */
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi'] as const;

/** Reads a private JWK (RFC 7517) for RS256. Throws ImportKeyError, which names the member that is wrong. */
export function readPrivateJwk(text: string): { readonly privateKey: KeyObject; readonly keyID?: string } {
  const jwk = parseJwk(text);
  refuseOtherUse(jwk);
  const missing = privateMembers.filter((member) => jwk[member] === undefined);
  if (missing.includes('d')) {
    throw new ImportKeyError(
      'it is a public JWK, which cannot sign; use the private JWK, or list this one in spec.import.verifyOnly',
    );
  }
  if (jwk['oth'] !== undefined) throw multiPrime();
  if (missing.length > 0) {
    throw new ImportKeyError(
      `it is a private JWK without ${missing.join(', ')}; export it from the old system with all members of RFC 7518 section 6.3.2`,
    );
  }
  const { kid } = jwk;
  if (kid !== undefined && !isKeyID(kid)) {
    throw new ImportKeyError(
      'its member kid is not 1 to 256 printable ASCII characters without spaces; correct it, or remove it and set spec.import.keyID',
    );
  }
  try {
    const privateKey = createPrivateKey({ key: jwk, format: 'jwk' });
    return { privateKey, ...(kid !== undefined && { keyID: kid }) };
  } catch {
    // The parser's message may quote the member.
    throw new ImportKeyError(
      'it is a private JWK whose members are not the base64url numbers of an RSA key; export it from the old system again',
    );
  }
}

export function multiPrime(): ImportKeyError {
  return new ImportKeyError(
    'it is an RSA key with more than two primes, which the operator cannot import; start with a new key and list the public half of this one in spec.import.verifyOnly',
  );
}

/** The number of private keys in a text that may be JSON. */
export function privateJwksIn(text: string): number {
  const value = parseJson(text);
  if (value === undefined) return text.includes('"kty"') ? (text.match(/"d"\s*:/g) ?? []).length : 0;
  return listOf(value).filter((item) => isJsonObject(item) && (item['d'] !== undefined || item['k'] !== undefined))
    .length;
}

function parseJwk(text: string): Record<string, unknown> {
  const value = parseJson(text);
  if (value === undefined)
    throw new ImportKeyError(
      'it starts like JSON but is not valid JSON; it was truncated or changed: copy the whole file',
    );
  if (Array.isArray(value)) {
    throw new ImportKeyError(
      "it is a list of JWKs; extract the private key: jq '.[] | select(.d)' keys.json > private.jwk",
    );
  }
  if (!isJsonObject(value)) throw new ImportKeyError('it is JSON, but not a JWK; use the file with the private key');
  if (Array.isArray(value['keys'])) {
    throw new ImportKeyError(
      "it is a JWK Set; extract the private key: jq '.keys[] | select(.d)' jwks.json > private.jwk",
    );
  }
  const { kty } = value;
  if (kty === 'RSA') return value;
  if (kty === undefined)
    throw new ImportKeyError(
      'it is a JSON object, but not a JWK: it has no member kty; use the file with the private key',
    );
  if (kty === 'oct') throw new ImportKeyError('it is a symmetric key (kty oct); RS256 requires an RSA key pair');
  if (kty === 'EC' || kty === 'OKP') {
    throw new ImportKeyError(`it is a key of type ${kty.toLowerCase()}; RS256 requires RSA`);
  }
  throw new ImportKeyError('its member kty is not RSA; RS256 requires RSA');
}

/** RFC 7517 §4.2 to §4.4. Quotes no values, because a wrong file may have anything there. */
function refuseOtherUse({ use, alg, key_ops: operations }: Record<string, unknown>): void {
  const refuse = (what: string): never => {
    throw new ImportKeyError(
      `${what}, so it is not for RS256 signatures; use the signing key, or correct the member if it is wrong`,
    );
  };
  if (use !== undefined && use !== 'sig') refuse('its member use is not sig');
  if (alg !== undefined && alg !== 'RS256') refuse('its member alg is not RS256');
  if (operations === undefined) return;
  if (!Array.isArray(operations) || !operations.includes('sign')) refuse('its member key_ops does not contain sign');
}

function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return isJsonObject(value) && Array.isArray(value['keys']) ? value['keys'] : [value];
}

/** Undefined if `text` is not JSON. Drops the error of the parser, which quotes the text. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
