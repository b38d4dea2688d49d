import { expect } from 'chai';
import { FileKekProvider } from '../../../src/crypto/file-kek-provider.ts';
import { generateKeyPair } from '../../../src/crypto/key-pair.ts';
import { open, seal } from '../../../src/crypto/seal.ts';
import type { SealReason } from '../../../src/api/reasons.ts';
import { SealError } from '../../../src/crypto/errors.ts';
import type { SealContext } from '../../../src/crypto/sealed-format.ts';
import { KekFiles, kekText, ManualClock } from './kek-files.ts';
import { parts, sealFailure } from '../../fixtures/sealing.ts';

/** Deterministic, so that a failed trial can be repeated. */
function numbersFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    // Mulberry32.
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const members = ['protected', 'encrypted_key', 'iv', 'ciphertext', 'tag'] as const;
type Member = (typeof members)[number];

describe('A sealed key after tampering', () => {
  let files: KekFiles;
  let keks: FileKekProvider;
  /** Two keys of one registration, each sealed twice, among which an attacker could swap parts unnoticed. */
  let sealings: readonly { readonly jwe: string; readonly context: SealContext }[];

  before(async () => {
    files = new KekFiles().write({ primary: 'kek-1', 'kek-1': kekText(1) });
    keks = new FileKekProvider({ directory: files.path, clock: new ManualClock() });
    const pairs = await Promise.all([generateKeyPair(2048), generateKeyPair(2048)]);
    sealings = await Promise.all(
      [...pairs, ...pairs].map(async ({ privateKey, keyID }) => {
        const context = { namespace: 'gradebook', registration: 'canvas', keyID };
        return { jwe: (await seal(privateKey, context, keks)).jwe, context };
      }),
    );
  });
  after(() => files.dispose());

  const bytesOf = (jwe: string, member: Member): Buffer => Buffer.from(parts(jwe)[member] ?? '', 'base64url');
  const withPart = (jwe: string, member: Member, bytes: Buffer): string =>
    JSON.stringify({ ...parts(jwe), [member]: bytes.toString('base64url') });

  function flipBits(jwe: string, member: Member, below: (limit: number) => number): string {
    const bytes = bytesOf(jwe, member);
    const bits = new Set(Array.from({ length: 1 + below(3) }, () => below(bytes.length * 8)));
    for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    return withPart(jwe, member, bytes);
  }

  type Tampering = (jwe: string, other: string, below: (limit: number) => number) => string;
  const tamperings: Readonly<Record<string, { tamper: Tampering; trials: number; reasons: readonly SealReason[] }>> = {
    ...Object.fromEntries(
      members.map((member) => [
        `1 to 3 bits flipped in ${member}`,
        {
          tamper: (jwe: string, _: string, below: (limit: number) => number) => flipBits(jwe, member, below),
          trials: member === 'ciphertext' ? 3100 : 1400,
          // A flipped header may be valid, with another context, version or KEK.
          reasons:
            member === 'protected'
              ? (['SealMalformed', 'SealVersionUnknown', 'SealContextMismatch', 'SealKEKMissing'] as const)
              : (['SealTampered'] as const),
        },
      ]),
    ),
    'a tag cut short': {
      tamper: (jwe, _, below) => withPart(jwe, 'tag', bytesOf(jwe, 'tag').subarray(0, below(16))),
      trials: 300,
      reasons: ['SealMalformed'],
    },
    'a ciphertext cut short': {
      tamper: (jwe, _, below) => {
        const bytes = bytesOf(jwe, 'ciphertext');
        return withPart(jwe, 'ciphertext', bytes.subarray(0, below(bytes.length)));
      },
      trials: 300,
      reasons: ['SealTampered'],
    },
    'one part of another sealing': {
      tamper: (jwe, other, below) => {
        const member = (['encrypted_key', 'iv', 'ciphertext', 'tag'] as const)[below(4)]!;
        return withPart(jwe, member, bytesOf(other, member));
      },
      trials: 500,
      reasons: ['SealTampered'],
    },
    'all parts but one of another sealing': {
      tamper: (jwe, other, below) => {
        const member = members[below(5)]!;
        return withPart(other, member, bytesOf(jwe, member));
      },
      trials: 300,
      reasons: ['SealTampered', 'SealContextMismatch'],
    },
  };

  let trials = 0;
  for (const [index, [what, tampering]] of Object.entries(tamperings).entries()) {
    it(`A sealed key never opens with ${what}, in ${tampering.trials} trials`, async () => {
      const below = numbersFrom(20_261_123 + index);
      const told = new Set<string>();
      for (let trial = 0; trial < tampering.trials; trial++) {
        const at = below(sealings.length);
        const { jwe, context } = sealings[at]!;
        // Another seal: of the other key, or of the same key at another time.
        const { jwe: other } = sealings[(at + 1 + below(sealings.length - 1)) % sealings.length]!;
        const changed = tampering.tamper(jwe, other, below);
        if (changed === jwe || changed === other) continue;
        const error = await sealFailure(open(changed, context, keks));
        told.add(error.reason);
        expect(error.message, 'it names the key').to.include(context.keyID);
        trials += 1;
      }
      expect(tampering.reasons).to.include.members([...told]);
      expect(told.size, 'trials took place').to.be.greaterThan(0);
    });
  }

  it('The trials number 10,000, and the sealed key opens without tampering', async () => {
    expect(trials).to.be.at.least(10_000);
    for (const { jwe, context } of sealings) {
      const opened: unknown = await open(jwe, context, keks).catch((error: unknown) => error);
      expect(opened instanceof SealError, 'refused').to.equal(false);
    }
  });
});
