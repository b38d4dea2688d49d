import { day, hour } from '../../src/domain/duration.ts';
import type { Registration } from '../../src/domain/registration.ts';

/** A registration with the schema's defaults, named gradebook/canvas. */
export function aRegistration(more: Partial<Registration> = {}): Registration {
  return {
    namespace: 'gradebook',
    name: 'canvas',
    generation: 1,
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
