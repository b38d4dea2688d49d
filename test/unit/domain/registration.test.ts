import { expect } from 'chai';
import type { LtiRegistration } from '../../../src/api/objects.ts';
import { day, hour } from '../../../src/domain/duration.ts';
import { deliverySecretName, readRegistration, storableRequest } from '../../../src/domain/registration.ts';

function object(spec: object = {}, annotations?: Record<string, string>): LtiRegistration {
  const metadata = { namespace: 'gradebook', name: 'canvas', generation: 4, ...(annotations ? { annotations } : {}) };
  return { apiVersion: 'ltikeys.dev/v1alpha1', kind: 'LtiRegistration', metadata, spec } as unknown as LtiRegistration;
}

describe('deliverySecretName', () => {
  const nameOf = (name: string, shards?: number): string | undefined => {
    const bundle = { name: 'tool-keys', ...(shards === undefined ? {} : { shards }) };
    const { metadata, spec } = object({ delivery: { bundle } });
    return deliverySecretName({ spec, metadata: { ...metadata, name } });
  };

  it('A bundle of one Secret has the number 0', () => {
    expect(nameOf('canvas')).to.equal('tool-keys-0');
  });

  it('Ten thousand registrations spread over the Secrets of a bundle, each always in the same one', () => {
    const names = Array.from({ length: 10_000 }, (_, index) => nameOf(`lms-${index}`, 100));
    const sizes = [...new Set(names)].map((name) => names.filter((other) => other === name).length);
    expect(sizes).to.have.length(100);
    expect(Math.max(...sizes)).to.be.lessThan(150);
    expect(nameOf('lms-17', 100)).to.equal(names[17]);
  });

  it('Twice as many Secrets take registrations of one Secret into that one and one new one', () => {
    for (let index = 0; index < 1000; index++) {
      const [before, after] = [8, 16].map((shards) => Number(nameOf(`lms-${index}`, shards)?.split('-').at(-1)));
      expect([before, before! + 8]).to.include(after);
    }
  });
});

describe('Reading a registration', () => {
  it('readRegistration applies the defaults of the schema to objects that were stored before the schema had them', () => {
    const read = readRegistration(object());
    expect(read).to.deep.include({
      namespace: 'gradebook',
      name: 'canvas',
      generation: 4,
      keyDistribution: 'JWKSURL',
      keySize: 2048,
      rotateAfter: 90 * day,
      activationDelay: day,
      overlap: 2 * day,
      revokedKeyIDs: new Set(),
      suspend: false,
      deletionPolicy: 'Retain',
      keyHistoryLimit: 3,
    });
  });

  it('readRegistration keeps the values of the spec, with durations in milliseconds', () => {
    const read = readRegistration(
      object(
        {
          keyDistribution: 'Manual',
          activation: 'AfterFetch',
          key: { algorithm: 'RS256', size: 4096 },
          rotateAfter: '30d',
          activationDelay: '2h',
          overlap: '1d12h',
          rotationTrigger: 'staff change',
          acknowledgedKeyID: 'kid-2',
          revokedKeyIDs: ['kid-1', 'kid-1'],
          suspend: true,
          deletionPolicy: 'Delete',
          keyHistoryLimit: 0,
          delivery: { secretName: 'signing-key' },
        },
        { 'ltikeys.dev/rotate-requested-at': '2026-03-01T00:00:00Z' },
      ),
    );
    expect(read).to.deep.include({
      keyDistribution: 'Manual',
      activation: 'AfterFetch',
      keySize: 4096,
      rotateAfter: 30 * day,
      activationDelay: 2 * hour,
      overlap: 36 * hour,
      rotationTrigger: 'staff change',
      rotateRequest: '2026-03-01T00:00:00Z',
      acknowledgedKeyID: 'kid-2',
      revokedKeyIDs: new Set(['kid-1']),
      suspend: true,
      deletionPolicy: 'Delete',
      keyHistoryLimit: 0,
      deliverySecretName: 'signing-key',
    });
  });

  for (const field of ['rotationTrigger', 'acknowledgedKeyID'] as const) {
    it(`readRegistration treats an empty ${field} as unset`, () => {
      expect(readRegistration(object({ [field]: '' }))).not.to.have.property(field);
    });
  }

  it('readRegistration keeps a rotate request that fits into a status', () => {
    for (const value of ['2026-03-01T00:00:00Z', 'x'.repeat(256), 'é'.repeat(128), ' please, 今すぐ ', '__proto__']) {
      expect(storableRequest(value)).to.equal(value);
      expect(request(value)).to.equal(value);
    }
  });

  const tooMuch: Record<string, string> = {
    'is too long': 'x'.repeat(257),
    'is as long as an annotation can be': 'x'.repeat(256 * 1024),
    'has too many bytes': 'é'.repeat(129),
    'has two lines': 'now\nand again',
    'has a control character': 'now\u0000',
    'has a bidirectional override': '\u202enow',
    'is many emoji': '🔑'.repeat(200),
    'has half a character': '\ud83d'.repeat(100),
  };
  for (const [what, value] of Object.entries(tooMuch)) {
    it(`readRegistration replaces a rotate request that ${what} by a text that fits into a status and changes with it`, () => {
      const read = request(value)!;
      expect(Buffer.byteLength(read)).to.be.at.most(256);
      expect(read).to.match(/^[ -~]*… \(\d+ characters, FNV-1a [0-9a-f]{8}\)$/);
      expect(request(value), 'repeated').to.equal(read);
      expect(storableRequest(read), 'read again').to.equal(read);
      expect(request(`${value}!`)).not.to.equal(read);
      // If neither beginning nor length changes, the checksum does.
      expect(request(`a${'x'.repeat(300)}b`)).not.to.equal(request(`a${'x'.repeat(300)}c`));
    });
  }

  it('readRegistration computes the FNV-1a checksum of a long rotate request', () => {
    expect(request('foo\nbar')).to.equal('foo?bar… (7 characters, FNV-1a 66bde038)');
  });

  function request(value: string): string | undefined {
    return readRegistration(object({}, { 'ltikeys.dev/rotate-requested-at': value })).rotateRequest;
  }
});
