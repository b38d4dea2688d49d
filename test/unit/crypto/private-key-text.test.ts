import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { expect } from 'chai';
import { ImportKeyError } from '../../../src/crypto/errors.ts';
import { importPrivateKey } from '../../../src/crypto/import-key.ts';
import { certificatePem, isReadable, openSshPem, pemBody, relabelled, threePrimes } from './former-key-texts.ts';

const rsa = (): KeyObject => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const pkcs8 = (key: KeyObject): string => key.export({ format: 'pem', type: 'pkcs8' }).toString();
const json = JSON.stringify;

describe('The text of a private key of a former system', () => {
  const key = rsa();
  const other = rsa();
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const jwk = key.export({ format: 'jwk' });
  const { kty, n, e, d } = jwk;
  const pem = pkcs8(key);
  const pkcs1 = key.export({ format: 'pem', type: 'pkcs1' }).toString();
  const spki = createPublicKey(key).export({ format: 'pem', type: 'spki' }).toString();
  const passphrase = { cipher: 'aes-256-cbc', passphrase: 'x' } as const;
  const locked = key.export({ format: 'pem', type: 'pkcs8', ...passphrase }).toString();
  const lockedPkcs1 = key.export({ format: 'pem', type: 'pkcs1', ...passphrase }).toString();
  const body = pemBody(pem);
  const bags = `Bag Attributes\n    friendlyName: tool\n    localKeyID: 01 02\nKey Attributes: <No Attributes>\n${pem}`;
  const padded = (text: string | undefined): string => Buffer.from(text ?? '', 'base64url').toString('base64');
  const classic = Object.fromEntries(
    Object.entries(jwk).map(([name, value]) => [name, name === 'kty' ? value : padded(String(value))]),
  );

  for (const [shape, text] of Object.entries({
    'PKCS#8': pem,
    'PKCS#1': pkcs1,
    'PKCS#8 that is labelled RSA': relabelled(pem, 'RSA PRIVATE KEY'),
    'lines that end with CRLF': pem.replaceAll('\n', '\r\n'),
    'a byte order mark': `\uFEFF${pem}`,
    'Bag Attributes before it': bags,
    'the body in one line': `-----BEGIN PRIVATE KEY-----\n${body}\n-----END PRIVATE KEY-----\n`,
    'lines of 76 characters': `-----BEGIN PRIVATE KEY-----\n${body.replaceAll(/.{76}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`,
    'blanks at the ends of lines': pem.replaceAll('\n', '  \n'),
    'no line break at the end': pem.trimEnd(),
    'a certificate before it': certificatePem + pem,
    'a certificate after it': pem + certificatePem,
    'a public key after it': pem + spki,
    'a JWK': json(jwk),
    'a JWK over several lines': JSON.stringify(jwk, undefined, 2),
    'a JWK with padding, + and /': json(classic),
    'a JWK that says what it is for': json({
      ...jwk,
      use: 'sig',
      alg: 'RS256',
      key_ops: ['sign', 'verify'],
      ext: true,
    }),
  })) {
    it(`importPrivateKey reads a key with ${shape}`, () => {
      expect(importPrivateKey(text).privateKey.equals(key)).to.equal(true);
    });
  }

  const refusals: Readonly<Record<string, readonly [text: string, message: string]>> = {
    'nothing but blanks': [' \n\t', 'it is empty'],
    'escaped newlines': [
      pem.replaceAll('\n', String.raw`\n`),
      String.raw`it is PEM whose line breaks are written as \n, backslash and n; make them real line breaks: printf '%b\n'`,
    ],
    'newlines that became blanks': [pem.replaceAll('\n', ' '), 'it is PEM without line breaks'],
    'newlines that are gone': [pem.replaceAll('\n', ''), 'it is PEM without line breaks'],
    'the indentation of a YAML block': [
      pem.replaceAll(/^(?=.)/gm, '    '),
      "it is PEM whose lines are indented, as in a YAML file; remove the indentation: sed 's/^[[:blank:]]*//'",
    ],
    'carriage returns alone': [
      pem.replaceAll('\n', '\r'),
      String.raw`it is PEM whose lines end with a carriage return only; convert them: tr '\r' '\n'`,
    ],
    'base64 in base64': [Buffer.from(pem).toString('base64'), 'it is base64 in base64'],
    'base64 of a JWK': [Buffer.from(json(jwk)).toString('base64'), 'it is base64 in base64'],
    'no BEGIN and END lines': [
      pem.replaceAll(/-----.*-----\n/g, ''),
      'it is the base64 of a key without BEGIN and END lines; convert it to PEM: base64 -d < key | openssl pkey',
    ],
    'the quotes of a JSON string': [json(pem), 'it is a JSON string; store its content'],
    'the format of OpenSSH': [openSshPem(key), "convert it in place: ssh-keygen -p -m PEM -N '' -f key"],
    'a JWK Set': [json({ keys: [jwk] }), "it is a JWK Set; extract the private key: jq '.keys[] | select(.d)'"],
    'a list of JWKs': [json([jwk]), "it is a list of JWKs; extract the private key: jq '.[] | select(.d)'"],
    'a JWK of n, e and d only': [json({ kty, n, e, d }), 'it is a private JWK without p, q, dp, dq, qi; export it'],
    'a JWK without qi': [json({ ...jwk, qi: undefined }), 'it is a private JWK without qi; export it'],
    'three primes in PEM': [threePrimes().pem, 'it is an RSA key with more than two primes'],
    'three primes in a JWK': [json(threePrimes().jwk), 'it is an RSA key with more than two primes'],
    'RSA-PSS': [
      pkcs8(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).privateKey),
      'it is an RSA-PSS key, which cannot sign RS256',
    ],
    'a passphrase (PKCS#8)': [
      locked,
      'it is encrypted with a passphrase; remove the passphrase: openssl pkey -in private.pem -out plain.pem',
    ],
    'a passphrase (PKCS#1)': [
      lockedPkcs1,
      'it is encrypted with a passphrase; remove the passphrase: openssl pkey -in',
    ],
    'a public key alone': [spki, 'it is a public key without a private key; use the file with the private key'],
    'a certificate alone': [certificatePem, 'it is a certificate without a private key; use the file with'],
    'a public JWK alone': [json({ kty, n, e }), 'it is a public JWK, which cannot sign'],
    'an EC key': [pkcs8(ec), 'it is a key of type ec; RS256 requires RSA'],
    'an Ed25519 key': [
      pkcs8(generateKeyPairSync('ed25519').privateKey),
      'it is a key of type ed25519; RS256 requires RSA',
    ],
    'an EC JWK': [json(ec.export({ format: 'jwk' })), 'it is a key of type ec; RS256 requires RSA'],
    'a symmetric JWK': [json({ kty: 'oct', k: d }), 'it is a symmetric key (kty oct); RS256 requires an RSA key pair'],
    'JSON that is no JWK': [json({ private_key: 'x' }), 'it is a JSON object, but not a JWK: it has no member kty'],
    'JSON cut short': [
      json(jwk).slice(0, 400),
      'it starts like JSON but is not valid JSON; it was truncated or changed',
    ],
    'JWK members that are no numbers': [json({ ...jwk, p: 7 }), 'whose members are not the base64url numbers'],
    'no END line': [pem.slice(0, 700), 'it is PEM without its END line; it was truncated'],
    'no BEGIN line': [pem.slice(40), 'it is PEM without its BEGIN line; copy the whole file'],
    'BEGIN and END of two formats': [
      pem.replace('END PRIVATE', 'END RSA PRIVATE'),
      'it is PEM whose BEGIN and END lines do not match',
    ],
    'lines missing in the middle': [
      pem.split('\n').toSpliced(5, 3).join('\n'),
      'the text between its BEGIN and END lines is not a private key',
    ],
    'UTF-16': [Buffer.from(`\uFEFF${pem}`, 'utf16le').toString(), 'it is text in UTF-16; convert it: iconv'],
    'UTF-16, big endian': [
      Buffer.from(`\uFEFF${pem}`, 'utf16le').swap16().toString(),
      'it is text in UTF-16; convert it: iconv',
    ],
    'a JWK in UTF-16': [Buffer.from(json(jwk), 'utf16le').toString(), 'it is text in UTF-16; convert it: iconv'],
    'DER that has the bytes of UTF-16 in it': [
      Buffer.concat([key.export({ format: 'der', type: 'pkcs8' }), Buffer.from('"\0{\0-\0-')]).toString(),
      'it is binary (DER or PKCS#12); convert it: openssl pkey -inform DER',
    ],
    DER: [
      key.export({ format: 'der', type: 'pkcs8' }).toString(),
      'it is binary (DER or PKCS#12); convert it: openssl pkey -inform DER',
    ],
    'something else': ['hello', 'it is neither a PEM private key (PKCS#1 or PKCS#8) nor a private JWK'],
    'use enc': [json({ ...jwk, use: 'enc', alg: 'RSA-OAEP-256' }), 'its member use is not sig'],
    'alg PS256': [json({ ...jwk, alg: 'PS256' }), 'its member alg is not RS256'],
    'alg none': [json({ ...jwk, alg: 'none' }), 'its member alg is not RS256'],
    'key_ops decrypt': [json({ ...jwk, key_ops: ['decrypt'] }), 'its member key_ops does not contain sign'],
    'key_ops verify': [json({ ...jwk, key_ops: ['verify'] }), 'its member key_ops does not contain sign'],
    'key_ops that is no list': [json({ ...jwk, key_ops: 'sign' }), 'its member key_ops does not contain sign'],
    'two PEM keys': [pem + pkcs8(other), 'it contains 2 private keys; keep only the one that signs'],
    'an EC key before it': [pkcs8(ec) + pem, 'it contains 2 private keys'],
    'a locked key after it': [pem + locked, 'it contains 2 private keys'],
    'a truncated key before it': [pkcs8(other).slice(0, 640) + pem, 'it contains 2 private keys'],
    'a key without BEGIN before it': [pkcs8(other).slice(40) + pem, 'it contains 2 private keys'],
    'two keys with escaped newlines': [(pem + pkcs1).replaceAll('\n', String.raw`\n`), 'it contains 2 private keys'],
    'two keys in base64': [Buffer.from(pem + pkcs1).toString('base64'), 'it contains 2 private keys'],
    'three keys in a JWK Set': [
      json({ keys: [jwk, jwk, { kty, n, e }, { kty: 'oct', k: d }] }),
      'it contains 3 private keys',
    ],
    'two JWKs in a row': [`${json(jwk)}\n${json(jwk)}`, 'it contains 2 private keys'],
  };
  for (const [shape, [text, message]] of Object.entries(refusals)) {
    it(`importPrivateKey refuses ${shape}, with a message of its own that quotes no part of the text`, () => {
      const refusal = refusalOf(text);
      expect(refusal).to.include(message);
      for (const secret of [d!, body, ...text.split(/\s/)]) {
        if (secret.length < 40) continue;
        for (let at = 0; at + 12 < secret.length; at += 6) expect(refusal).not.to.include(secret.slice(at, at + 12));
      }
    });
  }

  it('importPrivateKey refuses keys of three primes, which Node.js reads', () => {
    expect(isReadable(threePrimes().pem)).to.equal(true);
  });

  it('importPrivateKey refuses a megabyte of repeated text in under two seconds', () => {
    for (const part of [
      '-----BEGIN CERTIFICATE-----',
      '-----BEGIN PRIVATE KEY',
      '-----BEGIN ',
      '{"d":',
      '[',
      '\\n',
      'A ',
    ]) {
      const began = performance.now();
      refusalOf(part.repeat(1_000_000 / part.length));
      expect(performance.now() - began, part).to.be.lessThan(2000);
    }
  });
});

function refusalOf(text: string): string {
  try {
    importPrivateKey(text);
  } catch (error) {
    expect(error).to.be.instanceOf(ImportKeyError);
    return String(error);
  }
  return 'taken';
}
