import { expect } from 'chai';

import { Controller, type ControllerMetrics, type Result } from '../../../src/kube/controller.ts';
import { ApiError } from '../../../src/kube/errors.ts';
import { type Priority, WorkQueue } from '../../../src/kube/workqueue.ts';
import { FakeClock, settle } from '../../fakes/fake-clock.ts';
import { recordingLog, type RecordedLine } from '../../fakes/recording-log.ts';

interface Bench {
  readonly clock: FakeClock;
  readonly queue: WorkQueue;
  readonly lines: RecordedLine[];
  readonly results: string[];
  readonly activeWorkers: () => number | undefined;
  readonly running: Promise<void>;
  readonly stop: () => Promise<void>;
}

function run(reconcile: (key: string, signal: AbortSignal) => Promise<Result>, concurrency = 1): Bench {
  const clock = new FakeClock();
  const queue = new WorkQueue({ clock, name: 'test', random: () => 0 });
  const { log, lines } = recordingLog();
  const results: string[] = [];
  let activeWorkers: (() => number) | undefined;
  const metrics: ControllerMetrics = {
    watch: (_name, _concurrency, active) => void (activeWorkers = active),
    reconciled: (name, result, seconds) => void results.push(`${name} ${result} ${seconds}`),
  };
  const controller = new Controller({ name: 'test', queue, reconcile, concurrency, log, metrics });
  const stopping = new AbortController();
  const running = controller.run(stopping.signal);
  const stop = async (): Promise<void> => {
    stopping.abort();
    await running;
  };
  return { clock, queue, lines, results, activeWorkers: () => activeWorkers?.(), running, stop };
}

/** Fails with each of `failures` in turn, then succeeds; `calls` receives the times. */
function failing(clock: () => FakeClock, failures: unknown[], calls: number[]): (key: string) => Promise<Result> {
  return async () => {
    calls.push(clock().monotonic());
    const failure = failures.shift();
    if (failure !== undefined) throw failure;
    return {};
  };
}

describe('Controller', () => {
  it('The controller reconciles a key once if the reconcile succeeds', async () => {
    const keys: string[] = [];
    const { queue, clock, results, lines, stop } = run(async (key) => {
      keys.push(key);
      return {};
    });
    queue.add('ns/a');
    await clock.advance(3_600_000);
    expect(keys).to.deep.equal(['ns/a']);
    expect(results).to.deep.equal(['test success 0']);
    expect(lines).to.deep.equal([]);
    await stop();
  });

  it('The controller reconciles a key again after its requeueAfter', async () => {
    const calls: number[] = [];
    const bench = run(async () => {
      calls.push(bench.clock.monotonic());
      return { requeueAfter: 30_000 };
    });
    bench.queue.add('ns/a');
    await bench.clock.advance(60_000);
    expect(calls).to.deep.equal([0, 30_000, 60_000]);
    expect(bench.results[0]).to.equal('test requeue_after 0');
    await bench.stop();
  });

  it('The controller retries a failure with backoff, logs it, and resets the backoff after a success', async () => {
    const calls: number[] = [];
    const failures = [new Error('first'), new Error('second')];
    const bench = run(failing(() => bench.clock, failures, calls));
    bench.queue.add('ns/a');
    await bench.clock.advance(100);
    expect(calls).to.deep.equal([0, 5, 15]);
    expect(bench.results).to.deep.equal(['test error 0', 'test error 0', 'test success 0']);
    expect(bench.lines.map(({ level, message }) => `${level}: ${message}`)).to.deep.equal([
      'warn: reconcile failed; retrying',
      'warn: reconcile failed; retrying',
    ]);
    expect(bench.lines[1]?.fields).to.deep.include({ controller: 'test', namespace: 'ns', name: 'a', attempt: 2 });
    expect(bench.queue.addRateLimited('ns/a'), 'the next failure is the first again').to.equal(1);
    await bench.stop();
  });

  it('The controller respects the Retry-After of the API server', async () => {
    const calls: number[] = [];
    const busy = new ApiError('busy', { status: 429, reason: 'TooManyRequests', retryAfter: 4000 });
    const bench = run(failing(() => bench.clock, [busy], calls));
    bench.queue.add('ns/a');
    await bench.clock.advance(10_000);
    expect(calls).to.deep.equal([0, 4000]);
    await bench.stop();
  });

  const firsts: readonly (readonly [title: string, taken: Priority, first: () => Promise<Result>])[] = [
    [
      'The controller retries a failure at the priority of the failed attempt',
      0,
      () => Promise.reject(new Error('first')),
    ],
    [
      'The controller reconciles a key again at the priority of the result',
      1,
      async () => ({ requeueAfter: 5, priority: 0 }),
    ],
  ];
  for (const [title, taken, first] of firsts) {
    it(title, async () => {
      const order: string[] = [];
      let release: (() => void) | undefined;
      const bench = run(async (key): Promise<Result> => {
        order.push(key);
        if (order.length === 1) return first();
        if (key === 'ns/busy') await new Promise<void>((resolve) => (release = resolve));
        return {};
      });
      bench.queue.add('ns/revoked', taken);
      await settle();
      for (const key of ['ns/busy', 'ns/begun']) bench.queue.add(key);
      await bench.clock.advance(5);
      release?.();
      await settle();
      expect(order).to.deep.equal(['ns/revoked', 'ns/busy', 'ns/revoked', 'ns/begun']);
      await bench.stop();
    });
  }

  it('The controller treats a synchronous throw of a reconcile as a failure', async () => {
    const bench = run(() => {
      throw new Error('at once');
    });
    bench.queue.add('ns/a');
    await settle();
    expect(bench.results).to.deep.equal(['test error 0']);
    await bench.stop();
  });

  it('The controller runs one reconcile per worker, and never two of one key', async () => {
    const release: (() => void)[] = [];
    const bench = run((): Promise<Result> => new Promise((resolve) => release.push(() => resolve({}))), 2);
    for (const key of ['ns/a', 'ns/b', 'ns/c']) bench.queue.add(key);
    await settle();
    expect(release).to.have.length(2);
    expect(bench.activeWorkers()).to.equal(2);
    bench.queue.add('ns/a');
    release[1]?.();
    await settle();
    expect(release, 'c follows, a waits for a').to.have.length(3);
    release[2]?.();
    await settle();
    expect(release).to.have.length(3);
    release[0]?.();
    await settle();
    expect(release).to.have.length(4);
    release[3]?.();
    await bench.stop();
    expect(bench.activeWorkers()).to.equal(0);
  });

  it('A stopped controller takes no more keys, aborts the reconcile in progress, and waits for it', async () => {
    const begun: string[] = [];
    let told = false;
    let finish: (() => void) | undefined;
    const bench = run((key, signal) => {
      begun.push(key);
      signal.addEventListener('abort', () => (told = true));
      return new Promise((resolve) => (finish = () => resolve({ requeueAfter: 1000 })));
    });
    bench.queue.add('ns/a');
    bench.queue.add('ns/b');
    await settle();
    let stopped = false;
    const stopping = bench.stop().then(() => (stopped = true));
    await settle();
    expect({ told, stopped }).to.deep.equal({ told: true, stopped: false });
    finish?.();
    await stopping;
    expect(begun, 'b was queued and is not reconciled').to.deep.equal(['ns/a']);
    expect(bench.queue.size).to.equal(0);
    expect(bench.clock.pendingTimers).to.equal(0);
  });

  it('A controller that is stopped before it runs reconciles nothing', async () => {
    const { log } = recordingLog();
    const queue = new WorkQueue({ clock: new FakeClock(), name: 'test' });
    queue.add('ns/a');
    const begun: string[] = [];
    const reconcile = async (key: string): Promise<Result> => {
      begun.push(key);
      return {};
    };
    await new Controller({ name: 'test', queue, reconcile, concurrency: 2, log }).run(AbortSignal.abort());
    expect(begun).to.deep.equal([]);
    expect(queue.size).to.equal(0);
  });
});
