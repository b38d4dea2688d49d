import { createPrivateKey, type KeyObject } from 'node:crypto';
import { ImportKeyError } from './errors.ts';
import { privateJwksIn, readPrivateJwk } from './private-jwk.ts';

/** Reads private keys in the forms in which users store them. Every form that it refuses has a message with the remedy. */

export interface ReadKey {
  readonly privateKey: KeyObject;
  /** The `kid` of a JWK. */
  readonly keyID?: string;
}

/** Reads one RSA private key: PEM (PKCS#1 or PKCS#8, RFC 7468), possibly with other text around it, or a JWK. */
export function readPrivateKey(text: string): ReadKey {
  // Also removes a byte order mark.
  const trimmed = text.trim();
  if (trimmed === '') throw new ImportKeyError('it is empty; store the private key in it');
  refuseBinary(trimmed);
  refuseSeveral(trimmed);
  if (trimmed.startsWith('"')) {
    throw new ImportKeyError(
      'it is a JSON string; store its content, with real line breaks: jq -r . key.json > private.pem',
    );
  }
  if (/^[{[]/.test(trimmed)) return readPrivateJwk(trimmed);
  if (/-----(?:BEGIN|END) /.test(trimmed)) return { privateKey: rsaOnly(parsePem(trimmed)) };
  throw unlabelled(trimmed);
}

const begin = /-----BEGIN ([A-Z0-9 ]{0,30}PRIVATE KEY)-----/g;
const end = /-----END [A-Z0-9 ]{0,30}PRIVATE KEY-----/g;

/** The operator cannot tell which of several keys is meant, and an import cannot be repeated. */
function refuseSeveral(text: string): void {
  const begins = text.match(begin)?.length ?? 0;
  const ends = text.match(end)?.length ?? 0;
  const count = Math.max(begins, ends) + privateJwksIn(text);
  if (count > 1) throw new ImportKeyError(`it contains ${count} private keys; keep only the one that signs`);
}

/** Decoding as UTF-8 has replaced bytes that are not UTF-8. */
function refuseBinary(text: string): void {
  if (!/[\0\uFFFD]/.test(text)) return;
  // Every other byte of ASCII in UTF-16 is zero; in DER about one in 256 is.
  if (text.split('\0').length > text.length / 3) {
    throw new ImportKeyError('it is text in UTF-16; convert it: iconv -f UTF-16 -t UTF-8 key > private.pem');
  }
  throw new ImportKeyError(
    'it is binary (DER or PKCS#12); convert it: openssl pkey -inform DER -in key.der -out private.pem, or openssl pkcs12 -nocerts -nodes -in key.p12 -out private.pem',
  );
}

function parsePem(text: string): KeyObject {
  const [found] = text.matchAll(begin);
  if (found === undefined) throw noPrivateBlock(text);
  const [beginLine, label = ''] = found;
  const pem = text.slice(found.index);
  refuseBrokenLines(text, pem.slice(beginLine.length));
  if (label === 'OPENSSH PRIVATE KEY') {
    throw new ImportKeyError("it is in the format of OpenSSH; convert it in place: ssh-keygen -p -m PEM -N '' -f key");
  }
  const endLine = `-----END ${label}-----`;
  const length = pem.indexOf(endLine);
  if (length === -1) {
    throw new ImportKeyError(
      pem.match(end)
        ? 'it is PEM whose BEGIN and END lines do not match; copy the whole file'
        : 'it is PEM without its END line; it was truncated: copy the whole file',
    );
  }
  const block = pem.slice(0, length + endLine.length);
  if (label.startsWith('ENCRYPTED') || block.includes('Proc-Type: 4,ENCRYPTED')) {
    throw new ImportKeyError(
      'it is encrypted with a passphrase; remove the passphrase: openssl pkey -in private.pem -out plain.pem',
    );
  }
  try {
    return createPrivateKey(`${block}\n`);
  } catch {
    throw new ImportKeyError(
      'it is PEM, but the text between its BEGIN and END lines is not a private key; it was truncated or changed, or it has the BEGIN line of another format: copy the whole file',
    );
  }
}

/** `after` is the text after the BEGIN line. */
function refuseBrokenLines(text: string, after: string): void {
  if (/^\\+[nr]/.test(after)) {
    throw new ImportKeyError(
      String.raw`it is PEM whose line breaks are written as \n, backslash and n; make them real line breaks: printf '%b\n' "$PRIVATE_KEY" > private.pem`,
    );
  }
  if (after.includes('\r') && !after.includes('\n')) {
    throw new ImportKeyError(
      String.raw`it is PEM whose lines end with a carriage return only; convert them: tr '\r' '\n' < key > private.pem`,
    );
  }
  if (/^[ \t]*[^\s]/.test(after)) {
    throw new ImportKeyError(
      'it is PEM without line breaks; BEGIN and END must be on separate lines: copy the file again, with kubectl create secret --from-file',
    );
  }
  if (/^[ \t]+-----(?:BEGIN|END) /m.test(text)) {
    throw new ImportKeyError(
      "it is PEM whose lines are indented, as in a YAML file; remove the indentation: sed 's/^[[:blank:]]*//' key > private.pem",
    );
  }
}

function noPrivateBlock(text: string): ImportKeyError {
  if (text.match(end)) return new ImportKeyError('it is PEM without its BEGIN line; copy the whole file');
  const remedy = 'use the file with the private key; a public key belongs in spec.import.verifyOnly, as a JWK';
  if (/-----BEGIN [A-Z0-9 ]{0,30}PUBLIC KEY-----/.test(text)) {
    return new ImportKeyError(`it is a public key without a private key; ${remedy}`);
  }
  if (/-----BEGIN [A-Z0-9 ]{0,30}CERTIFICATE-----/.test(text)) {
    return new ImportKeyError(`it is a certificate without a private key; ${remedy}`);
  }
  return new ImportKeyError(`it is PEM without a private key; ${remedy}`);
}

function rsaOnly(key: KeyObject): KeyObject {
  if (key.asymmetricKeyType === 'rsa') return key;
  if (key.asymmetricKeyType === 'rsa-pss') {
    throw new ImportKeyError('it is an RSA-PSS key, which cannot sign RS256; use the RSA key that signs RS256');
  }
  throw new ImportKeyError(`it is a key of type ${key.asymmetricKeyType}; RS256 requires RSA`);
}

/** The first byte of a DER SEQUENCE (X.690 §8.9), with which every private key starts. */
const derSequence = 0x30;

function unlabelled(text: string): ImportKeyError {
  const compact = text.replaceAll(/\s/g, '');
  const bytes = /^[A-Za-z0-9+/_-]+={0,2}$/.test(compact) ? Buffer.from(compact, 'base64') : Buffer.alloc(0);
  if (bytes[0] === derSequence && bytes.length > 64) {
    return new ImportKeyError(
      'it is the base64 of a key without BEGIN and END lines; convert it to PEM: base64 -d < key | openssl pkey -inform DER -out private.pem',
    );
  }
  const inner = bytes.toString().trim();
  if (inner.includes('-----BEGIN ') || /^[{["]/.test(inner)) {
    refuseSeveral(inner);
    return new ImportKeyError(
      'it is base64 in base64, but an entry under data of a Secret is encoded once; decode the file first (base64 -d), or use kubectl create secret --from-file, which encodes it',
    );
  }
  return new ImportKeyError(
    'it is neither a PEM private key (PKCS#1 or PKCS#8) nor a private JWK; use a file in one of these formats',
  );
}
