import type { LtiRegistration } from '../../src/api/objects.ts';
import { readRegistration, type Registration } from '../../src/domain/registration.ts';

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
      activation: 'AfterDelay',
      overlap: '48h',
      rotationWindowDeadline: '7d',
      suspend: false,
      deletionPolicy: 'Retain',
      keyHistoryLimit: 3,
      ...spec,
    },
  };
}

/** The same registration as the rules see it. */
export function aRegistration(more: Partial<Registration> = {}): Registration {
  return { ...readRegistration(anLtiRegistration()), ...more };
}
