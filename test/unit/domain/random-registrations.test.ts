import { Buffer } from 'node:buffer';
import { expect } from 'chai';
import * as fc from 'fast-check';
import type { LtiRegistration } from '../../../src/api/objects.ts';
import { readRegistration } from '../../../src/domain/registration.ts';
import { nextOpening, windowFault } from '../../../src/domain/timing.ts';
import { anyRegistration, type AnyRegistration } from '../../builders/random-spec.ts';

function stored({ annotations, spec }: AnyRegistration): LtiRegistration {
  const metadata = { name: 'canvas', namespace: 'gradebook', generation: 1, annotations };
  const object: LtiRegistration = JSON.parse(JSON.stringify({ metadata, spec }));
  return object;
}

describe('Any registration that the schema allows', () => {
  it('Any registration is read without an exception, and every text in it fits into a status', () => {
    fc.assert(
      fc.property(anyRegistration(), (made) => {
        const { rotateRequest = '', rotationTrigger = '', ...read } = readRegistration(stored(made));
        expect(Buffer.byteLength(rotateRequest)).to.be.at.most(256);
        expect(Array.from(rotationTrigger).length).to.be.at.most(256);
        expect(read.rotateAfter).to.be.greaterThan(read.activationDelay + read.overlap);
        const windows = read.rotationWindows ?? [];
        const now = Date.parse('2026-11-23T12:00:00Z');
        if (windows.length > 0 && nextOpening(windows, now) === undefined) {
          expect(windowFault(windows, now)).to.have.property('message');
        }
      }),
      { numRuns: 500 },
    );
  });

  it('The random registrations vary in length, content and fields', () => {
    const sample = fc.sample(anyRegistration(), { numRuns: 1000, seed: 1 });
    const texts = sample.map((made) => JSON.stringify(made));
    for (const part of [
      '__proto__',
      '9998-12-31T23:59:59',
      '0 2 */2 * 6',
      '🔑',
      '"import"',
      '"delivery"',
      'x'.repeat(256),
    ]) {
      expect(texts.filter((made) => made.includes(part)).length, part).to.be.greaterThan(5);
    }
  });
});
