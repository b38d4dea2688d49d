import type { LtiRegistration } from '../../src/api/objects.ts';
import { day, hour } from '../../src/domain/duration.ts';
import type { Registration } from '../../src/domain/registration.ts';

export const issuer = 'https://platform.example.org';

/** An applied LtiRegistration with the schema's defaults, named gradebook/canvas. */
export function anLtiRegistration(spec: Partial<LtiRegistration['spec']> = {}): LtiRegistration {
  return {
    apiVersion: 'ltikeys.dev/v1alpha1',
    kind: 'LtiRegistration',
    metadata: { name: 'canvas', namespace: 'gradebook', generation: 1, uid: 'canvas-uid', resourceVersion: '1' },
    spec: {
      issuer,
      platform: 'Other',
      keyDistribution: 'JWKSURL',
      key: { algorithm: 'RS256', size: 2048 },
      rotateAfter: '90d',
      activationDelay: '24h',
      overlap: '48h',
      rotationWindowDeadline: '7d',
      suspend: false,
      deletionPolicy: 'Retain',
      keyHistoryLimit: 3,
      ...spec,
    },
  };
}

/** What the rules see of a registration with the schema's defaults, named gradebook/canvas. */
export function aRegistration(more: Partial<Registration> = {}): Registration {
  return {
    namespace: 'gradebook',
    name: 'canvas',
    generation: 1,
    issuer,
    keyDistribution: 'JWKSURL',
    keySize: 2048,
    rotateAfter: 90 * day,
    activationDelay: 24 * hour,
    overlap: 48 * hour,
    revokedKeyIDs: new Set(),
    suspend: false,
    deletionPolicy: 'Retain',
    keyHistoryLimit: 3,
    ...more,
  };
}
