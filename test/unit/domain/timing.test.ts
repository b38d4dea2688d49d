import { expect } from 'chai';
import { day, hour, minute, second } from '../../../src/domain/duration.ts';
import {
  activationTime,
  defaultMinimumOverlap,
  minimumActivationDelay,
  nextRotationTime,
  preparationTime,
  publicationMargin,
  publishedOverlap,
  resyncInterval,
  revocationGrace,
  rotationJitter,
  timingFault,
  toleratedClockSkew,
  untilResync,
} from '../../../src/domain/timing.ts';
import { aKey, epoch } from '../../builders/ledger.ts';
import { aRegistration } from '../../builders/registration.ts';

const limits = { minimumOverlap: hour };

describe('Resyncs', () => {
  it('Resyncs stay within the budget of reads after a new leader reconciled 10,000 registrations within 20 seconds', () => {
    const count = 10_000;
    const interval = resyncInterval(count, hour);
    const perMinute = Array.from({ length: 120 }, () => 0);
    for (let index = 0; index < count; index += 1) {
      let at = epoch + (index * 20 * second) / count;
      for (;;) {
        const wait = untilResync('gradebook', `canvas-${index}`, interval, at);
        expect(wait).to.be.within(1, interval);
        at += wait;
        if (at >= epoch + 120 * minute) break;
        perMinute[Math.floor((at - epoch) / minute)]! += 1;
      }
    }
    // Ten reads a second, at two reads each.
    expect(Math.max(...perMinute)).to.be.at.most(1.4 * 5 * 60);
    expect(Math.min(...perMinute)).to.be.at.least(0.6 * 5 * 60);
  });
});

describe('The safety inequalities', () => {
  it('The safety inequalities have the values of the documentation', () => {
    expect(revocationGrace).to.be.below(60 * second);
    expect(toleratedClockSkew).to.equal(5 * minute);
    expect(defaultMinimumOverlap).to.be.at.least(2 * minute + 600 * second + 300 * second);
  });

  for (const [what, floor, given, cacheLifetime] of [
    ['20 minutes where caches are shorter', 20 * minute, undefined, 19 * minute],
    ['a minute more than the caches live', 66 * minute, undefined, 65 * minute],
    ['what the operator was told, if it was told', 3 * second, 3 * second, 65 * minute],
  ] as const) {
    it(`The safety inequalities require an activation delay of ${what}`, () => {
      const told = given === undefined ? limits : { ...limits, minimumActivationDelay: given };
      expect(minimumActivationDelay(told, cacheLifetime)).to.equal(floor);
    });
  }

  it('The safety inequalities keep a Retiring key published for the minimum overlap if spec.overlap is shorter', () => {
    expect(publishedOverlap(aRegistration({ overlap: 2 * day }), limits)).to.equal(2 * day);
    expect(publishedOverlap(aRegistration({ overlap: second }), limits)).to.equal(hour);
  });

  for (const [what, more, reason, message] of [
    [
      'no fault if every minimum is met exactly',
      { activationDelay: 61 * minute, overlap: hour, rotateAfter: 121 * minute + 1 },
      undefined,
      '',
    ],
    [
      'an activation delay below its minimum',
      { activationDelay: 61 * minute - second },
      'ActivationDelayTooShort',
      'spec.activationDelay is 1h59s; platforms may cache an older key set for longer than that: raise it to at least 1h1m',
    ],
    [
      'an overlap below its minimum',
      { overlap: hour - second },
      'OverlapTooShort',
      'spec.overlap is 59m59s; platforms may receive tokens that were signed before a rotation for longer than that: raise it to at least 1h',
    ],
    [
      'a period that leaves no room',
      { rotateAfter: 72 * hour },
      'RotationTooFrequent',
      'spec.rotateAfter is 3d; raise it above the sum of spec.activationDelay and spec.overlap, 3d',
    ],
  ] as const) {
    it(`timingFault reports ${what}`, () => {
      const fault = timingFault(aRegistration(more), limits, hour);
      expect(fault?.reason).to.equal(reason);
      expect(fault?.message ?? '').to.equal(message);
    });
  }

  it('The safety inequalities spread rotations over at most 5 % of the period, deterministically', () => {
    const jitters = Array.from({ length: 1000 }, (_, index) => rotationJitter(aRegistration({ name: `r${index}` }), 1));
    expect(Math.min(...jitters)).to.be.at.least(0);
    expect(Math.max(...jitters)).to.be.below(0.05 * 90 * day);
    const mean = jitters.reduce((sum, jitter) => sum + jitter, 0) / jitters.length;
    expect(mean).to.be.within(0.02 * 90 * day, 0.03 * 90 * day);
    expect(rotationJitter(aRegistration(), 1)).to.equal(rotationJitter(aRegistration(), 1));
    expect(rotationJitter(aRegistration(), 1)).not.to.equal(rotationJitter(aRegistration(), 2));
  });

  it('The safety inequalities prepare a rotation early enough to publish the key for its delay', () => {
    const registration = aRegistration();
    const active = aKey(1, 'Active');
    const rotation = nextRotationTime(active, registration);
    expect(rotation).to.equal(epoch + 90 * day - rotationJitter(registration, 1));
    expect(preparationTime(active, registration)).to.equal(rotation - day - 10 * minute);
    expect(publicationMargin(aRegistration({ activationDelay: 20 * minute }))).to.equal(2 * minute);
  });

  it('The safety inequalities never prepare a rotation before the key signs', () => {
    const registration = aRegistration({ rotateAfter: day });
    expect(preparationTime(aKey(1, 'Active'), registration)).to.equal(epoch);
  });

  it('The safety inequalities let a scheduled key sign on its day, and a requested key after its activation delay', () => {
    const registration = aRegistration();
    const active = aKey(1, 'Active');
    const time = (cause: 'Schedule' | 'Trigger', publishedAt?: number): number | undefined =>
      activationTime(
        aKey(2, 'Next', { cause, ...(publishedAt === undefined ? {} : { publishedAt }) }),
        active,
        registration,
        epoch,
      );
    const rotation = nextRotationTime(active, registration);
    expect(time('Schedule')).to.equal(undefined);
    expect(time('Schedule', epoch)).to.equal(rotation);
    expect(time('Schedule', rotation)).to.equal(rotation + day);
    expect(time('Trigger', epoch)).to.equal(epoch + day);
  });
});
