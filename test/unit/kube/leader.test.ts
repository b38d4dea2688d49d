import { expect } from 'chai';

import { runAsLeader } from '../../../src/kube/leader.ts';
import { sleep } from '../../../src/lib/clock.ts';
import { FakeClock, settle } from '../../fakes/fake-clock.ts';
import { FakeLeases } from '../../fakes/fake-leases.ts';
import { recordingLog } from '../../fakes/recording-log.ts';

/** Candidates of one Lease on one monotonic clock. */
class Election {
  readonly clock = new FakeClock('2026-01-01T00:00:00.123Z');
  readonly leases = new FakeLeases();
  readonly recorded = recordingLog();
  /** What happened, in order: `a leads`, `a aborts`, `a ended`, `a stopped`. */
  readonly history: string[] = [];
  readonly masters = new Set<string>();

  start(identity: string, options: { lingers?: Promise<void>; fails?: Error; returns?: boolean } = {}): Candidate {
    const stopping = new AbortController();
    const lead = async (signal: AbortSignal): Promise<void> => {
      this.history.push(`${identity} leads`);
      if (options.fails !== undefined) throw options.fails;
      if (options.returns === true) return;
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      this.history.push(`${identity} aborts`);
      await options.lingers;
      this.history.push(`${identity} ended`);
    };
    const { clock, leases: client } = this;
    const metrics = {
      leading: (_: string, is: boolean): void => void (is ? this.masters.add(identity) : this.masters.delete(identity)),
    };
    const { log } = this.recorded;
    const shared = { client, namespace: 'ns', name: 'lease', clock, log, metrics, random: () => 0 };
    const running = runAsLeader({ ...shared, identity }, lead, stopping.signal).then(
      () => void this.history.push(`${identity} stopped`),
      (error: Error) => void this.history.push(`${identity} failed: ${error.message}`),
    );
    return { running, stop: () => stopping.abort() };
  }
}

interface Candidate {
  readonly running: Promise<void>;
  readonly stop: () => void;
}

/** An election whose only candidate leads. */
async function leading(): Promise<Candidate & { readonly election: Election }> {
  const election = new Election();
  const candidate = election.start('a');
  await settle();
  return { election, ...candidate };
}

function warnings({ recorded }: Election): readonly string[] {
  return recorded.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
}

describe('runAsLeader', () => {
  it('The candidate creates the Lease, with times of six digits, and leads', async () => {
    const { election, stop, running } = await leading();
    expect(election.history).to.deep.equal(['a leads']);
    expect([...election.masters]).to.deep.equal(['a']);
    expect(election.leases.lease?.spec).to.deep.equal({
      holderIdentity: 'a',
      leaseDurationSeconds: 15,
      acquireTime: '2026-01-01T00:00:00.123000Z',
      renewTime: '2026-01-01T00:00:00.123000Z',
      leaseTransitions: 0,
    });
    stop();
    await running;
  });

  it('The leader renews the Lease every two seconds, and keeps its acquireTime', async () => {
    const election = new Election();
    const { stop, running } = election.start('a');
    await election.clock.advance(20_000);
    expect(election.leases.writes).to.have.length(11);
    expect(election.leases.lease?.spec).to.deep.include({
      acquireTime: '2026-01-01T00:00:00.123000Z',
      renewTime: '2026-01-01T00:00:20.123000Z',
      leaseTransitions: 0,
    });
    expect(election.history).to.deep.equal(['a leads']);
    stop();
    await running;
  });

  it('The leader releases the Lease when its work has ended, and leaves no timer', async () => {
    const election = new Election();
    let end: (() => void) | undefined;
    const { stop, running } = election.start('a', { lingers: new Promise((resolve) => (end = resolve)) });
    await settle();
    stop();
    await election.clock.advance(30_000);
    expect(election.history).to.deep.equal(['a leads', 'a aborts']);
    expect(election.leases.lease?.spec?.holderIdentity, 'held until the work has ended').to.equal('a');
    expect(election.leases.lease?.spec?.renewTime, 'and renewed').to.equal('2026-01-01T00:00:30.123000Z');
    end?.();
    await running;
    expect(election.history.slice(2)).to.deep.equal(['a ended', 'a stopped']);
    expect(election.leases.lease?.spec).to.deep.include({ holderIdentity: '', leaseDurationSeconds: 1 });
    expect(election.clock.pendingTimers).to.equal(0);
    expect([...election.masters]).to.deep.equal([]);
  });

  it('Another candidate takes a released Lease at its next attempt', async () => {
    const election = new Election();
    const a = election.start('a');
    await settle();
    const b = election.start('b');
    await election.clock.advance(60_000);
    expect(election.history).to.deep.equal(['a leads']);
    a.stop();
    await election.clock.advance(2_000);
    expect(election.history).to.deep.equal(['a leads', 'a aborts', 'a ended', 'a stopped', 'b leads']);
    expect(election.leases.lease?.spec).to.deep.include({ holderIdentity: 'b', leaseTransitions: 1 });
    b.stop();
    await Promise.all([a.running, b.running]);
  });

  for (const renewTime of ['2001-01-01T00:00:00.000000Z', '2099-01-01T00:00:00.000000Z']) {
    it(`A candidate takes over a Lease 15 s after its last change, although its renewTime is ${renewTime}`, async () => {
      const election = new Election();
      const dead = { holderIdentity: 'dead', leaseDurationSeconds: 15, leaseTransitions: 4 };
      election.leases.set({ ...dead, renewTime: '2000-01-01T00:00:00.000000Z' });
      const { stop, running } = election.start('b');
      await election.clock.advance(10_000);
      election.leases.set({ ...dead, renewTime });
      await election.clock.advance(16_000);
      expect(election.history, 'it was renewed meanwhile').to.deep.equal([]);
      await election.clock.advance(2_000);
      expect(election.history).to.deep.equal(['b leads']);
      expect(election.leases.lease?.spec).to.deep.include({ holderIdentity: 'b', leaseTransitions: 5 });
      stop();
      await running;
    });
  }

  for (const [how, fault] of [
    ['fail', (leases: FakeLeases) => void (leases.failure = new Error('connection refused'))],
    ['hang', (leases: FakeLeases) => void (leases.hangs = true)],
  ] as const) {
    it(`The leader stops its work 10 s after the last renewal if renewals ${how}, and competes again`, async () => {
      const election = new Election();
      const { stop, running } = election.start('a');
      await election.clock.advance(4_000);
      fault(election.leases);
      await election.clock.advance(9_999);
      expect(election.history).to.deep.equal(['a leads']);
      await election.clock.advance(1);
      expect(election.history).to.deep.equal(['a leads', 'a aborts', 'a ended']);
      await election.clock.advance(4_000);
      expect([...election.masters]).to.deep.equal([]);
      election.leases.failure = undefined;
      election.leases.hangs = false;
      // The first attempt of the next term hangs, and times out.
      await election.clock.advance(6_000);
      expect(election.history.slice(3)).to.deep.equal(['a leads']);
      stop();
      await running;
    });
  }

  it('The renew deadline counts from the sending of a renewal, not from its answer', async () => {
    const { election, stop, running } = await leading();
    election.leases.latency = () => sleep(election.clock, 1_500);
    await election.clock.advance(5_000);
    election.leases.latency = undefined;
    election.leases.failure = new Error('connection refused');
    await election.clock.advance(6_999);
    expect(election.history).to.deep.equal(['a leads']);
    await election.clock.advance(1);
    expect(election.history, 'sent 2 s and answered 5 s after the start').to.include('a aborts');
    stop();
    await running;
  });

  it('A leader that lost the Lease does not write it while its work ends', async () => {
    const election = new Election();
    let end: (() => void) | undefined;
    const { stop, running } = election.start('a', { lingers: new Promise((resolve) => (end = resolve)) });
    await election.clock.advance(4_000);
    election.leases.failure = new Error('connection refused');
    await election.clock.advance(10_000);
    election.leases.failure = undefined;
    const writes = election.leases.writes.length;
    await election.clock.advance(60_000);
    expect(election.history).to.deep.equal(['a leads', 'a aborts']);
    expect(election.leases.writes).to.have.length(writes);
    end?.();
    stop();
    await running;
  });

  it('The leader continues if renewals fail for less than the deadline', async () => {
    const election = new Election();
    const { stop, running } = election.start('a');
    await election.clock.advance(4_000);
    election.leases.failure = new Error('connection refused');
    await election.clock.advance(7_000);
    election.leases.failure = undefined;
    await election.clock.advance(60_000);
    expect(election.history).to.deep.equal(['a leads']);
    const failed = 'cannot take or renew the leader lease; retrying';
    expect(warnings(election)).to.deep.equal([failed, failed, failed, 'the leader lease was renewed late']);
    stop();
    await running;
  });

  for (const latency of [2_010, 2_100, 4_900]) {
    it(`A candidate becomes and stays leader if each request takes ${latency} ms`, async () => {
      const election = new Election();
      election.leases.latency = () => sleep(election.clock, latency);
      const a = election.start('a');
      await election.clock.advance(2 * latency);
      const b = election.start('b');
      await election.clock.advance(600_000);
      expect(election.history).to.deep.equal(['a leads']);
      expect(election.leases.lease?.spec).to.deep.include({ holderIdentity: 'a', leaseTransitions: 0 });
      a.stop();
      b.stop();
      await election.clock.advance(60_000);
      await Promise.all([a.running, b.running]);
    });

    it(`The leader stays leader if requests begin to take ${latency} ms, and if one is never answered`, async () => {
      const election = new Election();
      const { stop, running } = election.start('a');
      await election.clock.advance(20_000);
      election.leases.latency = () => sleep(election.clock, latency);
      await election.clock.advance(300_000);
      expect(election.history).to.deep.equal(['a leads']);
      election.leases.latency = undefined;
      await election.clock.advance(5_000);
      election.leases.hangs = true;
      await election.clock.advance(2_000);
      election.leases.hangs = false;
      await election.clock.advance(60_000);
      expect(election.history).to.deep.equal(['a leads']);
      stop();
      await running;
    });
  }

  it('The leader reads the Lease only after a conflict', async () => {
    const election = new Election();
    const { stop, running } = election.start('a');
    await election.clock.advance(20_000);
    expect(election.leases.reads, 'before it was created').to.equal(1);
    const { lease } = election.leases;
    election.leases.set({ ...lease?.spec });
    await election.clock.advance(20_000);
    expect(election.leases.reads).to.equal(2);
    expect(election.history).to.deep.equal(['a leads']);
    stop();
    await running;
  });

  it('The leader recreates a deleted Lease', async () => {
    const { election, stop, running } = await leading();
    election.leases.lease = undefined;
    await election.clock.advance(20_000);
    expect(election.history).to.deep.equal(['a leads']);
    expect(election.leases.lease).to.have.nested.property('spec.holderIdentity', 'a');
    stop();
    await running;
  });

  it('The leader logs a late renewal, and why it stops its work', async () => {
    const { election, stop, running } = await leading();
    election.leases.latency = () => sleep(election.clock, 4_000);
    await election.clock.advance(6_000);
    expect(warnings(election)).to.deep.equal(['the leader lease was renewed late']);
    election.leases.latency = () => new Promise(() => undefined);
    await election.clock.advance(20_000);
    expect(warnings(election)).to.include(
      'the leader lease was not renewed in time; the operator stops its work as leader',
    );
    stop();
    await election.clock.advance(20_000);
    await running;
  });

  describe('A renewal in progress when the work ends', () => {
    it('A delayed renewal does not take the released Lease', async () => {
      const { election, stop, running } = await leading();
      election.leases.latency = () => sleep(election.clock, 3_000);
      await election.clock.advance(2_500);
      election.leases.latency = undefined;
      stop();
      await running;
      expect(election.leases.lease?.spec?.holderIdentity).to.equal('');
      await election.clock.advance(60_000);
      expect(election.leases.lease?.spec?.holderIdentity).to.equal('');
    });

    it('A renewal whose answer was lost is followed by a release', async () => {
      const { election, stop, running } = await leading();
      election.leases.answersNoWrite = true;
      await election.clock.advance(2_500);
      election.leases.answersNoWrite = false;
      stop();
      await running;
      expect(election.leases.lease?.spec?.holderIdentity).to.equal('');
    });

    it('A delayed renewal does not take the Lease from another holder', async () => {
      const { election, stop, running } = await leading();
      election.leases.latency = () => sleep(election.clock, 3_000);
      await election.clock.advance(2_500);
      election.leases.latency = undefined;
      election.leases.set({ holderIdentity: 'b', leaseDurationSeconds: 15, renewTime: 'x' });
      stop();
      await running;
      await election.clock.advance(60_000);
      expect(election.leases.lease?.spec?.holderIdentity).to.equal('b');
    });
  });

  it('A candidate that is stopped between read and write sends no write', async () => {
    const election = new Election();
    election.leases.set({ holderIdentity: '' });
    election.leases.latency = () => sleep(election.clock, 1_000);
    const { stop, running } = election.start('a');
    await election.clock.advance(500);
    stop();
    await running;
    await election.clock.advance(60_000);
    expect(election.leases.writes).to.deep.equal([]);
  });

  it('The leader stops its work if another process holds the Lease, and does not release that Lease', async () => {
    const { election, stop, running } = await leading();
    election.leases.set({ holderIdentity: 'thief', leaseDurationSeconds: 15, renewTime: 'x' });
    await election.clock.advance(2_000);
    expect(election.history).to.deep.equal(['a leads', 'a aborts', 'a ended']);
    stop();
    await running;
    expect(election.leases.lease?.spec?.holderIdentity).to.equal('thief');
  });

  it('At most one of three candidates leads at a time, through outages', async () => {
    const election = new Election();
    const candidates = [election.start('a'), election.start('b'), election.start('c')];
    for (let minute = 0; minute < 30; minute++) {
      election.leases.failure = minute % 3 === 1 ? new Error('outage') : undefined;
      for (let second = 0; second < 20; second++) {
        await election.clock.advance(1000);
        expect(election.masters.size, [...election.masters].join(' and ')).to.be.lessThan(2);
      }
    }
    expect(election.history.filter((line) => line.endsWith('leads')).length).to.be.greaterThan(5);
    for (const { stop } of candidates) stop();
    await Promise.all(candidates.map(({ running }) => running));
  });

  it('runAsLeader rejects with the error of the work, after it has released the Lease', async () => {
    const election = new Election();
    const { running } = election.start('a', { fails: new Error('broken') });
    await running;
    expect(election.history).to.deep.equal(['a leads', 'a failed: broken']);
    expect(election.leases.lease?.spec?.holderIdentity).to.equal('');
    expect(election.clock.pendingTimers).to.equal(0);
  });

  it('The candidate competes again, after a pause, if the work returns', async () => {
    const election = new Election();
    const { stop, running } = election.start('a', { returns: true });
    await election.clock.advance(5_000);
    expect(election.history).to.deep.equal(['a leads', 'a leads', 'a leads']);
    stop();
    await running;
  });

  it('A candidate that is stopped at once does not lead', async () => {
    const election = new Election();
    election.leases.set({ holderIdentity: '' });
    const { stop, running } = election.start('a');
    stop();
    await running;
    expect(election.history).to.deep.equal(['a stopped']);
    expect(election.leases.lease?.spec?.holderIdentity, 'as it was').to.equal('');
  });
});
