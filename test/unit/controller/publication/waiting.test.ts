import { expect } from 'chai';
import type { KeysToObserve, PublicationObserver } from '../../../../src/controller/publication/observer.ts';
import { Waiting } from '../../../../src/controller/publication/waiting.ts';
import type { Observation } from '../../../../src/domain/situation.ts';
import { aPublicJwk } from '../../../builders/ledger.ts';
import { anObservation } from '../../../builders/situation.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';

const present: KeysToObserve = { present: [aPublicJwk('kid-1')], absent: [] };
const absent: KeysToObserve = { present: [], absent: [aPublicJwk('kid-1')] };

describe('Registrations that wait for replicas', () => {
  let clock: FakeClock;
  let stopping: AbortController;
  let running: Promise<void>;
  let observation: Observation;
  let silent: boolean;
  let asked: string[];
  let changed: string[];
  let waiting: Waiting;

  beforeEach(() => {
    clock = new FakeClock();
    stopping = new AbortController();
    observation = anObservation([]);
    silent = false;
    asked = [];
    changed = [];
    const observer: PublicationObserver = {
      isSilent: () => silent,
      observe(_namespace, name) {
        asked.push(name);
        return Promise.resolve(observation);
      },
    };
    waiting = new Waiting({ observer, clock, changed: (key) => void changed.push(key) });
    running = waiting.run(stopping.signal);
  });
  afterEach(async () => {
    stopping.abort();
    await running;
    expect(clock.pendingTimers).to.equal(0);
  });

  async function lookAt(name: string, keys = present): Promise<void> {
    await waiting.observe('gradebook', name, keys);
    asked = [];
  }

  it('are asked about ever less often, and looked at once, when the answer is another one', async () => {
    await lookAt('canvas');
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
    expect([asked, changed.length, waiting.size]).to.deep.equal([[], 1, 0]);
  });

  it('are none where every replica serves what it should, and nothing else', async () => {
    observation = anObservation(['kid-1'], { absentKeyIDs: new Set(['kid-1']) });
    for (const keys of [present, absent]) await lookAt('canvas', keys);
    expect(waiting.size).to.equal(0);
  });

  it('are looked at when a revoked key is gone', async () => {
    await lookAt('canvas', absent);
    observation = anObservation([], { absentKeyIDs: new Set(['kid-1']) });
    await clock.advance(250);
    expect(changed).to.deep.equal(['gradebook/canvas']);
  });

  it('are forgotten when they are looked at, although an answer is still to come', async () => {
    await lookAt('canvas');
    const pending = Promise.withResolvers<Observation>();
    observation = pending.promise as unknown as Observation;
    await clock.advance(250);
    waiting.forget('gradebook/canvas');
    pending.resolve(anObservation(['kid-1']));
    await clock.advance(1000);
    expect([changed, waiting.size]).to.deep.equal([[], 0]);
  });

  it('are looked at when asking fails, and the others are waited for on', async () => {
    await lookAt('canvas');
    observation = Promise.reject(new Error('unexpected')) as unknown as Observation;
    await clock.advance(250);
    observation = anObservation([]);
    expect([changed, waiting.size]).to.deep.equal([['gradebook/canvas'], 0]);
    await lookAt('moodle');
    await clock.advance(1000);
    expect(asked).to.include('moodle');
  });

  it('are asked about 500 times a second in all when there are 10,000, in turns', async () => {
    for (let n = 0; n < 10_000; n += 1) await waiting.observe('gradebook', `canvas-${n}`, present);
    asked = [];
    await clock.advance(1000);
    expect(asked).to.have.length(500);
    await clock.advance(19_000);
    expect(new Set(asked).size).to.equal(10_000);
  });

  it('are asked about one at a time while a replica is silent, and all of them at once it is not', async () => {
    for (let n = 0; n < 2000; n += 1) await waiting.observe('gradebook', `canvas-${n}`, present);
    silent = true;
    await clock.advance(600_000);
    asked = [];
    await clock.advance(10_000);
    expect(asked.length).to.be.at.most(40);
    silent = false;
    observation = anObservation(['kid-1']);
    await clock.advance(4250);
    expect(new Set(changed).size).to.equal(2000);
    expect(changed).to.have.length(2000);
  });
});
