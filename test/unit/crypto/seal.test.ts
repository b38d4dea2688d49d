import { generateKeyPairSync, randomBytes, type JsonWebKey } from 'node:crypto';
import { inspect } from 'node:util';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { FileKekProvider } from '../../../src/crypto/file-kek-provider.ts';
import { generateKeyPair, publicJwk, type KeyPair } from '../../../src/crypto/key-pair.ts';
import { open, seal } from '../../../src/crypto/seal.ts';
import type { SealReason } from '../../../src/api/reasons.ts';
import { namedKek, parseSealed, type SealContext } from '../../../src/crypto/sealed-format.ts';
import { KekFiles, kekText, ManualClock } from './kek-files.ts';
import { forge, headerOf, leakFinder, parts, sealFailure, withHeader } from '../../fixtures/sealing.ts';

describe('A sealed key', () => {
  let files: KekFiles;
  let keks: FileKekProvider;
  let pair: KeyPair;
  let other: KeyPair;
  let context: SealContext;
  let jwe: string;
  const kekBytes = randomBytes(32);

  before(async () => {
    files = new KekFiles().write({ primary: 'kek-1', 'kek-1': kekBytes.toString('base64'), 'kek-0': kekText(3) });
    keks = new FileKekProvider({ directory: files.path, clock: new ManualClock() });
    [pair, other] = await Promise.all([generateKeyPair(2048), generateKeyPair(2048)]);
    context = { namespace: 'gradebook', registration: 'canvas', keyID: pair.keyID };
    ({ jwe } = await seal(pair.privateKey, context, keks));
  });
  after(() => files.dispose());

  it('A sealed key opens to the same key', async () => {
    expect((await open(jwe, context, keks)).equals(pair.privateKey)).to.equal(true);
  });

  it('A sealed key is a flattened JWE whose header names its registration, key ID and KEK', () => {
    expect(Object.keys(parts(jwe))).to.have.members(['protected', 'encrypted_key', 'iv', 'ciphertext', 'tag']);
    expect(headerOf(jwe)).to.deep.equal({
      alg: 'A256KW',
      enc: 'A256GCM',
      typ: 'lti-sealed-key',
      cty: 'jwk+json',
      version: 1,
      ...context,
      kekID: 'kek-1',
    });
    expect(parseSealed(jwe, 'key').header).to.include({ ...context, kekID: 'kek-1' });
    expect(namedKek(jwe)).to.equal('kek-1');
  });

  it('A sealed key has a fresh content key and initialization vector each time', async () => {
    const again = await seal(pair.privateKey, context, keks);
    expect(again.kekID).to.equal('kek-1');
    for (const member of ['encrypted_key', 'iv', 'ciphertext', 'tag'] as const) {
      expect(parts(again.jwe)[member], member).not.to.equal(parts(jwe)[member]);
    }
  });

  it('A sealed key opens under its own KEK after primary names another KEK', async () => {
    files.write({ primary: 'kek-0\n' });
    const moved = new FileKekProvider({ directory: files.path, clock: new ManualClock() });
    files.write({ primary: 'kek-1' });
    expect((await open(jwe, context, moved)).equals(pair.privateKey)).to.equal(true);
  });

  it('A sealed key opens with a foreign key ID only if the whole public half matches', async () => {
    const foreign = { ...context, keyID: 'legacy-1', publicJWK: publicJwk(pair.privateKey, 'legacy-1') };
    const sealed = await seal(pair.privateKey, foreign, keks);
    expect((await open(sealed.jwe, foreign, keks)).equals(pair.privateKey)).to.equal(true);
    const error = await sealFailure(open(sealed.jwe, { ...foreign, publicJWK: other.publicJWK }, keks));
    expect(error.reason).to.equal('SealKeyMismatch');
  });

  for (const keyID of ['tool:2019', 'Zm9v+/==', 'https://tool.example.org/keys/1?v=2#k', '~'.repeat(256)]) {
    it(`A sealed key can have a key ID of a former system: ${keyID.slice(0, 40)}`, async () => {
      const foreign = { ...context, keyID, publicJWK: publicJwk(pair.privateKey, keyID) };
      const sealed = await seal(pair.privateKey, foreign, keks);
      expect((await open(sealed.jwe, foreign, keks)).equals(pair.privateKey)).to.equal(true);
      expect(parseSealed(sealed.jwe, 'key').header.keyID).to.equal(keyID);
    });
  }

  it('A sealed key is refused as malformed with a key ID that a message could not quote', async () => {
    for (const keyID of ['', 'tool 2019', 'tool\n2019', 'tool\u200B', 'k'.repeat(257)]) {
      const error = await sealFailure(seal(pair.privateKey, { ...context, keyID }, keks));
      expect(error.message).to.include('has a header whose "keyID" is not a name');
    }
  });

  it('A sealed key is not created under the key ID of another key', async () => {
    const error = await sealFailure(seal(other.privateKey, context, keks));
    expect(error.reason).to.equal('SealKeyMismatch');
  });

  it('A sealed key is not created without a KEK: seal throws the KekError', async () => {
    const empty = new FileKekProvider({ directory: `${files.path}-absent`, clock: new ManualClock() });
    const error: unknown = await seal(pair.privateKey, context, empty).catch((reason: unknown) => reason);
    expect(error).to.include({ name: 'KekError', reason: 'KEKDirectoryMissing' });
  });

  describe('context', () => {
    const moves: { to: Partial<SealContext>; says: string }[] = [
      { to: { namespace: 'library' }, says: 'another namespace' },
      { to: { registration: 'moodle' }, says: 'another registration' },
      { to: { keyID: 'A'.repeat(43) }, says: 'another keyID' },
    ];
    for (const { to, says } of moves) {
      it(`A sealed key with ${says} is refused with its original context in the message`, async () => {
        const error = await sealFailure(open(jwe, { ...context, ...to }, keks));
        expect(error.reason).to.equal('SealContextMismatch');
        expect(error.message).to.contain(says).and.to.contain(`sealed as key ${pair.keyID} of gradebook/canvas`);
      });

      it(`A sealed key with ${says} is refused although its header was edited to match`, async () => {
        const edited = withHeader(jwe, { ...headerOf(jwe), ...to });
        const error = await sealFailure(open(edited, { ...context, ...to }, keks));
        expect(error.reason).to.equal('SealTampered');
      });
    }
  });

  describe('header', () => {
    const changes: { change: Record<string, unknown>; reason: SealReason }[] = [
      { change: { alg: 'dir' }, reason: 'SealMalformed' },
      { change: { alg: 'RSA-OAEP' }, reason: 'SealMalformed' },
      { change: { alg: 'A128KW' }, reason: 'SealMalformed' },
      { change: { alg: ['A256KW'] }, reason: 'SealMalformed' },
      { change: { enc: 'A128GCM' }, reason: 'SealMalformed' },
      { change: { enc: 'A256CBC-HS512' }, reason: 'SealMalformed' },
      { change: { typ: 'JWT' }, reason: 'SealMalformed' },
      { change: { typ: 'JWT', version: 3 }, reason: 'SealMalformed' },
      { change: { cty: 'JWT' }, reason: 'SealMalformed' },
      { change: { version: 3 }, reason: 'SealVersionUnknown' },
      { change: { version: 2 }, reason: 'SealMalformed' },
      { change: { kms: { keyID: 'k', ciphertext: 'AA', annotations: {} } }, reason: 'SealMalformed' },
      { change: { version: '1' }, reason: 'SealVersionUnknown' },
      { change: { version: undefined }, reason: 'SealVersionUnknown' },
      { change: { namespace: 'library' }, reason: 'SealContextMismatch' },
      { change: { registration: 'moodle' }, reason: 'SealContextMismatch' },
      { change: { keyID: 'A'.repeat(43) }, reason: 'SealContextMismatch' },
      { change: { namespace: undefined }, reason: 'SealMalformed' },
      { change: { registration: 7 }, reason: 'SealMalformed' },
      { change: { keyID: 'a b' }, reason: 'SealMalformed' },
      { change: { kekID: '../kek-1' }, reason: 'SealMalformed' },
      { change: { kekID: 'kek-9' }, reason: 'SealKEKMissing' },
      { change: { kekID: 'kek-0' }, reason: 'SealTampered' },
      { change: { zip: 'DEF' }, reason: 'SealMalformed' },
      { change: { crit: ['exp'] }, reason: 'SealMalformed' },
      { change: { p2c: 1 }, reason: 'SealMalformed' },
    ];
    for (const { change, reason } of changes) {
      it(`A sealed key with the header ${inspect(change)} is refused as ${reason}`, async () => {
        const error = await sealFailure(open(withHeader(jwe, { ...headerOf(jwe), ...change }), context, keks));
        expect(error.reason).to.equal(reason);
        expect(error.message).to.contain(`${pair.keyID} of registration gradebook/canvas`);
      });
    }

    it('The error for a missing KEK has its ID and the message of the provider', async () => {
      const error = await sealFailure(open(withHeader(jwe, { ...headerOf(jwe), kekID: 'kek-9' }), context, keks));
      expect(error.kekID).to.equal('kek-9');
      expect(error.message).to.contain('under KEK kek-9').and.to.contain(`${files.path}/kek-9 is missing`);
      expect(error.cause).to.include({ name: 'KekError', reason: 'KEKMissing' });
    });
  });

  describe('damage', () => {
    const damages: { what: string; damage: (jwe: string) => string }[] = [
      { what: 'empty', damage: () => '' },
      { what: 'null', damage: () => 'null' },
      { what: 'an array', damage: () => '[]' },
      { what: 'cut off', damage: (text) => text.slice(0, -20) },
      { what: 'without a tag', damage: (text) => JSON.stringify({ ...parts(text), tag: undefined }) },
      {
        what: 'with a 4-byte tag',
        damage: (text) => JSON.stringify({ ...parts(text), tag: parts(text).tag?.slice(0, 6).replace(/.$/, 'A') }),
      },
      {
        what: 'with a 12-byte tag',
        damage: (text) => JSON.stringify({ ...parts(text), tag: parts(text).tag?.slice(0, 16) }),
      },
      { what: 'with padding', damage: (text) => JSON.stringify({ ...parts(text), tag: `${parts(text).tag}==` }) },
      { what: 'with a tag that is no text', damage: (text) => JSON.stringify({ ...parts(text), tag: 7 }) },
      {
        what: 'with an unprotected header',
        damage: (text) => JSON.stringify({ ...parts(text), unprotected: { kid: 'x' } }),
      },
      { what: 'with a recipient header', damage: (text) => JSON.stringify({ ...parts(text), header: { kid: 'x' } }) },
      { what: 'with additional data', damage: (text) => JSON.stringify({ ...parts(text), aad: 'AAAA' }) },
      {
        what: 'compact',
        damage: (text) =>
          ['protected', 'encrypted_key', 'iv', 'ciphertext', 'tag']
            .map((member) => Reflect.get(parts(text), member))
            .join('.'),
      },
    ];
    for (const { what, damage } of damages) {
      it(`A sealed key that is ${what} is refused as malformed`, async () => {
        const error = await sealFailure(open(damage(jwe), context, keks));
        expect(error.reason).to.equal('SealMalformed');
        expect(error.message).to.match(/Restore its ledger Secret from a backup$/);
      });
    }

    it('A sealed key with parts of another sealing of the same key is refused', async () => {
      const again = parts((await seal(pair.privateKey, context, keks)).jwe);
      for (const member of ['encrypted_key', 'iv', 'ciphertext', 'tag'] as const) {
        const mixed = JSON.stringify({ ...parts(jwe), [member]: again[member] });
        expect((await sealFailure(open(mixed, context, keks))).reason, member).to.equal('SealTampered');
      }
    });

    it('A sealed key with any of 1,000 flipped bits in its bytes is refused', async () => {
      const members = ['encrypted_key', 'iv', 'ciphertext', 'tag', 'protected'] as const;
      const flipOne = fc.asyncProperty(fc.constantFrom(...members), fc.nat(), async (member, at) => {
        const bytes = Buffer.from(parts(jwe)[member] ?? '', 'base64url');
        const bit = at % (bytes.length * 8);
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const error = await sealFailure(
          open(JSON.stringify({ ...parts(jwe), [member]: bytes.toString('base64url') }), context, keks),
        );
        if (member !== 'protected') expect(error.reason).to.equal('SealTampered');
      });
      await fc.assert(flipOne, { numRuns: 1000, seed: 20261123 });
    });

    it('A sealed key with any of 1,000 flipped bits in its text is refused, also bits that decoders ignore', async () => {
      const ignored = jwe.lastIndexOf(parts(jwe).tag ?? '') + 21;
      const positions = fc.oneof({ weight: 20, arbitrary: fc.nat(jwe.length - 1) }, fc.constant(ignored));
      const flipOne = fc.asyncProperty(positions, fc.nat(6), async (at, bit) => {
        const changed = String.fromCharCode(jwe.charCodeAt(at) ^ (1 << bit));
        await sealFailure(open(jwe.slice(0, at) + changed + jwe.slice(at + 1), context, keks));
      });
      await fc.assert(flipOne, { numRuns: 1000, seed: 20261123 });
    });
  });

  describe('forgery', () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const keysOf: Record<string, Parameters<typeof forge>[2]> = {
      dir: kekBytes,
      'RSA-OAEP': rsa.publicKey,
      A128KW: kekBytes.subarray(0, 16),
      A256GCMKW: kekBytes,
    };
    for (const [alg, key] of Object.entries(keysOf)) {
      it(`A sealed key with the algorithm ${alg} is refused`, async () => {
        const forged = await forge(
          { ...headerOf(jwe), alg },
          JSON.stringify(pair.privateKey.export({ format: 'jwk' })),
          key,
        );
        expect((await sealFailure(open(forged, context, keks))).reason).to.equal('SealMalformed');
      });
    }

    it('A sealed key with another content encryption is refused', async () => {
      for (const enc of ['A128GCM', 'A192GCM', 'A256CBC-HS512', 'A128CBC-HS256']) {
        const forged = await forge({ ...headerOf(jwe), enc }, '{}', kekBytes);
        expect((await sealFailure(open(forged, context, keks))).reason, enc).to.equal('SealMalformed');
      }
    });

    it('A sealed key under another KEK with the same ID is refused', async () => {
      const forged = await forge(headerOf(jwe), '{}', randomBytes(32));
      const error = await sealFailure(open(forged, context, keks));
      expect(error.reason).to.equal('SealTampered');
      expect(error.message).to.contain('KEK kek-1 has other bytes');
      expect(error.kekID).to.equal('kek-1');
    });

    it('A sealed key that does not contain the expected key is refused', async () => {
      const otherJwk = other.privateKey.export({ format: 'jwk' });
      const elliptic = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
      const contents: (JsonWebKey | string)[] = [
        otherJwk,
        { ...pair.publicJWK },
        elliptic,
        '',
        '{}',
        'null',
        'not JSON',
      ];
      for (const content of contents) {
        const plaintext = typeof content === 'string' ? content : JSON.stringify(content);
        const error = await sealFailure(open(await forge(headerOf(jwe), plaintext, kekBytes), context, keks));
        expect(error.reason).to.equal('SealKeyMismatch');
      }
    });

    it('A sealed key that failed to open does not block the repair of its KEK file', async () => {
      const repaired = new KekFiles().mount({ primary: 'kek-1', 'kek-1': kekText(9) });
      const clock = new ManualClock();
      const provider = new FileKekProvider({ directory: repaired.path, clock });
      expect((await sealFailure(open(jwe, context, provider))).reason).to.equal('SealTampered');
      repaired.mount({ primary: 'kek-1', 'kek-1': kekBytes.toString('base64') });
      clock.advance(2_000);
      expect((await open(jwe, context, provider)).equals(pair.privateKey)).to.equal(true);
      repaired.mount({ primary: 'kek-1', 'kek-1': kekText(9) });
      clock.advance(2_000);
      const error = await sealFailure(open(jwe, context, provider));
      repaired.dispose();
      expect(error.reason).to.equal('SealKEKMissing');
      expect(error.cause).to.include({ reason: 'KEKChanged' });
    });
  });

  it('A sealed key has no key material in its errors', async () => {
    const leaks = leakFinder(pair.privateKey, kekBytes);
    const plaintext = JSON.stringify(pair.privateKey.export({ format: 'jwk' }));
    const attempts = [
      () => open(jwe.slice(0, -20), context, keks),
      () => open(withHeader(jwe, { ...headerOf(jwe), kekID: 'kek-9' }), context, keks),
      () => open(withHeader(jwe, { ...headerOf(jwe), kekID: 'kek-0' }), context, keks),
      () => open(plaintext, context, keks),
      async () => open(await forge(headerOf(jwe), plaintext.slice(0, -9), kekBytes), context, keks),
      async () => open(await forge(headerOf(jwe), plaintext.replace('"d":', '"d":x'), kekBytes), context, keks),
      () => seal(pair.privateKey, { ...context, keyID: other.keyID }, keks),
    ];
    const errors = await Promise.all(attempts.map((attempt) => attempt().catch((error: unknown) => error)));
    for (const error of errors) {
      expect(error).to.be.an('error');
      expect(leaks(`${inspect(error, { depth: 9, showHidden: true })}${JSON.stringify(error)}`)).to.equal(false);
    }
    // Proves that the search finds key material, and that a parser's message quotes it.
    expect(leaks(`at ${kekBytes.toString('hex').slice(3, 13)}`)).to.equal(true);
    expect(leaks(plaintext.slice(-40))).to.equal(true);
    let told = '';
    try {
      JSON.parse(String(pair.privateKey.export({ format: 'jwk' }).d));
    } catch (error) {
      told = String(error);
    }
    expect(leaks(told)).to.equal(true);
  });
});
