import { setTimeout as wait } from 'node:timers/promises';
import { leases, operatorName } from '../src/api/names.ts';
import type { KubeClient } from '../src/kube/client.ts';
import { generateKeys } from './key-generation.ts';
import { apiCalls, type ApiCalls, callsBetween, perRegistration, requestsOf, writesOf } from './api-calls.ts';
import { bareRun, type BareRun } from './bare-run.ts';
import { type Bed, operatorNamespace, type Replica, withOperator } from './operator.ts';
import { pollJwks } from './poll-jwks.ts';
import { cpuSeconds, residentMiB } from './process-figures.ts';
import { parseMetrics, total } from './prometheus-text.ts';
import { bringUpRegistrations } from './registrations.ts';
import { bounded, type Measurement, type Row } from './row.ts';

/** Many registrations on a real API server with the real processes, from the first create to an outage. */

const namespace = 'bench';
const firstOnes = 200;
/** The baseline may be smaller than the measurement, because its rate is constant. */
const largestBaseline = 1000;
/** Garbage is collected and its pages are returned to the system within this time. */
const settleMs = 30_000;
const idleMs = 60_000;
const outageMs = 120_000;

export const scale: Measurement = {
  rows: [
    'scale-ready',
    'scale-first-200',
    'scale-controller-cpu',
    'scale-calls',
    'scale-controller-peak',
    'scale-controller-rss',
    'scale-sidecar-rss',
    'scale-restart',
    'scale-idle-cpu',
    'scale-outage-requests',
  ],
  async measure({ registrations }) {
    const baseline = Math.min(registrations, largestBaseline);
    say(`${firstOnes} keys alone, then ${baseline} keys with the same requests by a bare client`);
    const few = await generateKeys(firstOnes);
    const bare = await bareRun(baseline);
    return withOperator(namespace, async (bed) => [
      ...(await bringUp(bed, registrations, few, bare)),
      await restart(bed, registrations),
      await idle(bed),
      await outage(bed, registrations),
    ]);
  },
};

interface Work {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

async function bringUp({ client, operator }: Bed, count: number, few: Work, bare: BareRun): Promise<readonly Row[]> {
  say(`${count} registrations are applied`);
  const cpuBefore = cpuSeconds(operator.controller.pid);
  const callsBefore = apiCalls(await operator.metrics());
  const renewals = await countLeaseRenewals(client);
  let firstSeconds = Number.NaN;
  const seconds = await bringUpRegistrations(client, namespace, count, (ready, after) => {
    if (ready === firstOnes) firstSeconds = after;
    if (ready % 500 === 0) say(`${ready} are Ready after ${after.toFixed(0)} s`);
  });
  const cpu = cpuSeconds(operator.controller.pid) - cpuBefore;
  const calls = callsBetween(callsBefore, apiCalls(await operator.metrics()));
  const renewed = renewals.stop();
  const ofRegistrations = { ...calls, PUT: calls.PUT - renewed };
  say('memory settles');
  await wait(settleMs);
  const alone = (bare.seconds / bare.count) * count;
  const keyCpu = few.cpuSeconds / firstOnes;
  return [
    {
      name: 'scale-ready',
      value: seconds,
      unit: 's',
      limit: { of: 'ratio', atMost: 1.15 },
      ratio: seconds / alone,
      notes: [
        `until all ${count} said Ready; the keys and the same requests by a bare client: ${alone.toFixed(1)} s`,
        `${(count / seconds).toFixed(1)} registrations a second`,
      ],
    },
    {
      name: 'scale-first-200',
      value: firstSeconds,
      unit: 's',
      limit: { of: 'ratio', atMost: 3 },
      ratio: firstSeconds / few.seconds,
      notes: [`from the first create of ${count}; ${firstOnes} keys alone: ${few.seconds.toFixed(1)} s`],
    },
    {
      name: 'scale-controller-cpu',
      value: (cpu / count) * 1000,
      unit: 'ms',
      limit: { of: 'ratio', atMost: 1.25 },
      ratio: cpu / count / keyCpu,
      notes: [`of the controller per registration; its key alone takes ${(keyCpu * 1000).toFixed(1)} ms`],
    },
    bounded(
      {
        name: 'scale-calls',
        value: requestsOf(ofRegistrations) / count,
        unit: 'requests',
        notes: [
          `per registration: ${perRegistration(ofRegistrations, count)}`,
          `without the ${renewed} renewals of the Lease, which the process sends whatever the number of registrations`,
        ],
      },
      9,
    ),
    memoryRow('scale-controller-peak', residentMiB(operator.controller.pid).peak, 350),
    memoryRow('scale-controller-rss', residentMiB(operator.controller.pid).now, 250),
    memoryRow('scale-sidecar-rss', residentMiB(operator.sidecar.pid).peak, 128),
  ];
}

function memoryRow(name: string, value: number, limit: number): Row {
  return bounded({ name, value, unit: 'MiB' }, limit);
}

/** Counts the updates of the leader's Lease from now on. */
async function countLeaseRenewals(client: KubeClient): Promise<{ stop(): number }> {
  const over = new AbortController();
  const { resourceVersion } = (await client.list(leases, { namespace: operatorNamespace })).metadata;
  const options = { namespace: operatorNamespace, resourceVersion, timeoutSeconds: 3600 };
  const events = await client.watch(leases, options, over.signal);
  let renewals = 0;
  const counted = (async () => {
    for await (const { type, object } of events) {
      if (type === 'MODIFIED' && object.metadata.name === operatorName) renewals += 1;
    }
  })();
  // The watch ends by throwing when it is aborted.
  counted.catch(() => undefined);
  return {
    stop() {
      over.abort();
      return renewals;
    },
  };
}

/** The CPU of a controller while nothing changes. Each registration is checked once in half an hour, in its place of the interval. */
async function idle({ operator }: Bed): Promise<Row> {
  say(`nothing changes for ${idleMs / 1000} s`);
  const { seconds, cpuSeconds: used, calls } = await cpuOfSpan(operator, () => wait(idleMs));
  return bounded(
    {
      name: 'scale-idle-cpu',
      value: (used / seconds) * 100,
      unit: '% of a core',
      notes: [
        `in ${seconds.toFixed(0)} s ${calls.reconciles} checks, ${calls.GET} GET and ${writesOf(calls)} writes (the Lease is renewed)`,
        `${((used / calls.reconciles) * 1000).toFixed(1)} ms of CPU for each check, if the process does nothing else`,
      ],
    },
    0.5,
  );
}

async function cpuOfSpan(operator: Replica, span: () => Promise<void>): Promise<Work & { readonly calls: ApiCalls }> {
  const callsBefore = apiCalls(await operator.metrics());
  const { pid } = operator.controller;
  const [began, cpuBefore] = [performance.now(), cpuSeconds(pid)];
  await span();
  const used = { seconds: (performance.now() - began) / 1000, cpuSeconds: cpuSeconds(pid) - cpuBefore };
  return { ...used, calls: callsBetween(callsBefore, apiCalls(await operator.metrics())) };
}

/** The time from the start of a controller beside a running sidecar until all registrations were checked and the queue is empty. */
async function restart({ operator }: Bed, count: number): Promise<Row> {
  say('the controller is killed and started again');
  const polls = pollJwks(operator.jwksUrl, namespace);
  const began = performance.now();
  await operator.restartController();
  const leading = performance.now();
  let calls = await settled(operator, count);
  const ended = performance.now();
  const { asked, failed } = await polls.stop();
  await wait(5000);
  calls = apiCalls(await operator.metrics());
  const seconds = (ended - leading) / 1000;
  return bounded(
    {
      name: 'scale-restart',
      value: seconds,
      unit: 's',
      notes: [
        `from leadership until all were checked; ${((leading - began) / 1000).toFixed(1)} s from the kill until leadership, mostly until the Lease of the killed controller expired`,
        `per registration: ${perRegistration(calls, count)}; of ${asked} fetches of the key set meanwhile ${failed} failed`,
      ],
    },
    20,
  );
}

/** The sidecar is stopped, so that it accepts connections and does not respond. */
async function outage({ operator }: Bed, count: number): Promise<Row> {
  say(`the sidecar is stopped for ${outageMs / 1000} s`);
  process.kill(operator.sidecar.pid, 'SIGSTOP');
  await operator.restartController();
  const cpuBefore = cpuSeconds(operator.controller.pid);
  await settled(operator, count);
  const callsBefore = apiCalls(await operator.metrics());
  await wait(outageMs);
  const calls = callsBetween(callsBefore, apiCalls(await operator.metrics()));
  const cpu = cpuSeconds(operator.controller.pid) - cpuBefore;
  const { peak } = residentMiB(operator.controller.pid);
  process.kill(operator.sidecar.pid, 'SIGCONT');
  const each = requestsOf(calls) / count;
  return bounded(
    {
      name: 'scale-outage-requests',
      value: each,
      unit: 'requests',
      notes: [
        `per registration in ${outageMs / 1000} s after the first check: ${perRegistration(calls, count)}`,
        `the controller used ${cpu.toFixed(1)} s of CPU, at its peak ${peak.toFixed(0)} MiB`,
      ],
    },
    0.1,
  );
}

/** Resolves when a controller that has just started has checked all registrations and its queue is empty. */
async function settled(operator: Replica, count: number): Promise<ApiCalls> {
  for (;;) {
    const text = await operator.metrics();
    const calls = apiCalls(text);
    const samples = parseMetrics(text);
    const busy = total(samples, 'workqueue_depth') + total(samples, 'controller_runtime_active_workers');
    if (calls.reconciles >= count && busy === 0) return calls;
    await wait(500);
  }
}

function say(text: string): void {
  console.log(`scale: ${text}`);
}
