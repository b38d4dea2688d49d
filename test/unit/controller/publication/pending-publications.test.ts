import { expect } from 'chai';
import type { KeysToObserve, PublicationObserver } from '../../../../src/controller/publication/observer.ts';
import { PendingPublications } from '../../../../src/controller/publication/pending-publications.ts';
import type { Observation } from '../../../../src/domain/situation.ts';
import { aPublicJwk } from '../../../builders/ledger.ts';
import { anObservation } from '../../../builders/situation.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';

const present: KeysToObserve = { present: [aPublicJwk('kid-1')], absent: [] };
const absent: KeysToObserve = { present: [], absent: [aPublicJwk('kid-1')] };

describe('PendingPublications', () => {
  let clock: FakeClock;
  let stopping: AbortController;
  let running: Promise<void>;
  let observation: Observation | Error;
  let unresponsive: boolean;
  let asked: string[];
  let changed: string[];
  let pending: PendingPublications;

  beforeEach(() => {
    clock = new FakeClock();
    stopping = new AbortController();
    observation = anObservation([]);
    unresponsive = false;
    asked = [];
    changed = [];
    const observer: PublicationObserver = {
      isAnyUnresponsive: () => unresponsive,
      async observe(_namespace, name) {
        asked.push(name);
        if (observation instanceof Error) throw observation;
        return observation;
      },
    };
    pending = new PendingPublications({ observer, clock, changed: (key) => void changed.push(key) });
    running = pending.run(stopping.signal);
  });
  afterEach(async () => {
    stopping.abort();
    await running;
    expect(clock.pendingTimers).to.equal(0);
  });

  async function reconcile(name: string, keys = present): Promise<void> {
    await pending.observe('gradebook', name, keys);
    asked = [];
  }

  it('PendingPublications polls ever less often, and enqueues the registration once when the outcome changes', async () => {
    await reconcile('canvas');
    await clock.advance(2000);
    expect(asked.length).to.be.within(3, 8);
    await clock.advance(600_000);
    asked = [];
    await clock.advance(60_000);
    expect(asked.length).to.equal(2);
    expect(changed).to.deep.equal([]);
    observation = anObservation(['kid-1']);
    await clock.advance(30_000);
    expect(changed).to.deep.equal(['gradebook/canvas']);
    asked = [];
    await clock.advance(60_000);
    expect([asked, changed.length, pending.size]).to.deep.equal([[], 1, 0]);
  });

  it('PendingPublications keeps no registration whose replicas serve exactly the right keys', async () => {
    observation = anObservation(['kid-1'], { absentKeyIDs: new Set(['kid-1']) });
    for (const keys of [present, absent]) await reconcile('canvas', keys);
    expect(pending.size).to.equal(0);
  });

  it('PendingPublications enqueues a registration when no replica serves its revoked key', async () => {
    await reconcile('canvas', absent);
    observation = anObservation([], { absentKeyIDs: new Set(['kid-1']) });
    await clock.advance(250);
    expect(changed).to.deep.equal(['gradebook/canvas']);
  });

  it('PendingPublications drops the response to a poll if a reconcile began meanwhile', async () => {
    await reconcile('canvas');
    const response = Promise.withResolvers<Observation>();
    observation = response.promise as unknown as Observation;
    await clock.advance(250);
    pending.remove('gradebook/canvas');
    response.resolve(anObservation(['kid-1']));
    await clock.advance(1000);
    expect([changed, pending.size]).to.deep.equal([[], 0]);
  });

  it('PendingPublications enqueues a registration if the observation fails, and continues to poll for the others', async () => {
    await reconcile('canvas');
    observation = new Error('unexpected');
    await clock.advance(250);
    observation = anObservation([]);
    expect([changed, pending.size]).to.deep.equal([['gradebook/canvas'], 0]);
    await reconcile('moodle');
    await clock.advance(1000);
    expect(asked).to.include('moodle');
  });

  it('PendingPublications observes 500 of 10,000 registrations a second, in turns', async () => {
    for (let n = 0; n < 10_000; n += 1) await pending.observe('gradebook', `canvas-${n}`, present);
    asked = [];
    await clock.advance(1000);
    expect(asked).to.have.length(500);
    await clock.advance(19_000);
    expect(new Set(asked).size).to.equal(10_000);
  });

  it('PendingPublications observes 40 registrations a second while a replica does not respond, and all of them soon after it responds', async () => {
    for (let n = 0; n < 2000; n += 1) await pending.observe('gradebook', `canvas-${n}`, present);
    unresponsive = true;
    await clock.advance(600_000);
    asked = [];
    await clock.advance(10_000);
    expect(asked).to.have.length(400);
    unresponsive = false;
    observation = anObservation(['kid-1']);
    await clock.advance(4250);
    expect(new Set(changed).size).to.equal(2000);
    expect(changed).to.have.length(2000);
  });
});
