import { expect } from 'chai';
import type { LtiRegistration } from '../../../src/api/objects.ts';
import { day, hour } from '../../../src/domain/duration.ts';
import { readRegistration } from '../../../src/domain/registration.ts';

function object(spec: object = {}, annotations?: Record<string, string>): LtiRegistration {
  const metadata = { namespace: 'gradebook', name: 'canvas', generation: 4, ...(annotations ? { annotations } : {}) };
  return { apiVersion: 'ltikeys.dev/v1alpha1', kind: 'LtiRegistration', metadata, spec } as unknown as LtiRegistration;
}

describe('reading a registration', () => {
  it('fills in the defaults of the schema for objects that were stored before a default was', () => {
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

  it('takes what is written, durations as milliseconds', () => {
    const read = readRegistration(
      object(
        {
          keyDistribution: 'Manual',
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
    it(`takes an empty ${field} as none`, () => {
      expect(readRegistration(object({ [field]: '' }))).not.to.have.property(field);
    });
  }
});
