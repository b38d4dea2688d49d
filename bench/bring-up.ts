import { setTimeout as wait } from 'node:timers/promises';
import { generateKeys, type Generation } from './key-generation.ts';
import { withOperator } from './operator.ts';
import { cpuSeconds, findProcess, residentMiB } from './process-figures.ts';
import { bringUpRegistrations } from './registrations.ts';
import { bounded, type Measurement, type Row } from './row.ts';

const count = 300;
const namespace = 'bench';
/** Garbage is collected and its pages are returned to the system within this time. */
const settleMs = 20_000;

/** 300 registrations on a real control plane, compared with the generation of their keys alone before and after. */
export const bringUp: Measurement = {
  rows: ['bring-up-300', 'controller-rss', 'sidecar-rss'],
  measure: () =>
    withOperator(namespace, async ({ plane, client, operator }) => {
      const { controller, sidecar } = operator;
      const processes = {
        controller: controller.pid,
        sidecar: sidecar.pid,
        'kube-apiserver': findProcess('kube-apiserver', plane.folder),
        etcd: findProcess('etcd', plane.folder),
        bench: process.pid,
      };
      const before = await generateKeys(count);
      const cpuBefore = cpuOf(processes);
      const seconds = await bringUpRegistrations(client, namespace, count);
      const cpu = cpuOf(processes).map(([name, after], index) => [name, after - cpuBefore[index]![1]] as const);
      const after = await generateKeys(count);
      await wait(settleMs);
      return [
        bringUpRow(seconds, cpu, [before, after]),
        memoryRow('controller-rss', controller.pid, 160),
        memoryRow('sidecar-rss', sidecar.pid, 90),
      ];
    }),
};

type CpuFigures = readonly (readonly [name: string, seconds: number])[];

function cpuOf(processes: Readonly<Record<string, number | undefined>>): CpuFigures {
  return Object.entries(processes).map(([name, pid]) => [name, pid === undefined ? Number.NaN : cpuSeconds(pid)]);
}

function bringUpRow(seconds: number, cpu: CpuFigures, generations: readonly Generation[]): Row {
  const alone = mean(generations.map((generation) => generation.seconds));
  const aloneCpu = mean(generations.map((generation) => generation.cpuSeconds));
  const total = cpu.reduce((sum, [, used]) => sum + used, 0);
  const perRegistration = (used: number): string => `${((used / count) * 1000).toFixed(1)} ms`;
  return {
    name: 'bring-up-300',
    value: seconds,
    unit: 's',
    limit: { of: 'ratio', atMost: 1.5 },
    ratio: seconds / alone,
    notes: [
      `generating ${count} keys alone: ${generations.map((generation) => `${generation.seconds.toFixed(1)} s`).join(' before, ')} after`,
      `CPU per registration: ${cpu.map(([name, used]) => `${name} ${perRegistration(used)}`).join(', ')}`,
      `CPU of all processes over CPU of the keys alone (${perRegistration(aloneCpu)} each): ${(total / aloneCpu).toFixed(2)}`,
    ],
  };
}

function memoryRow(name: string, pid: number, limit: number): Row {
  const { now, peak } = residentMiB(pid);
  const notes = [`at its peak ${peak.toFixed(0)} MiB`];
  return bounded({ name, value: now, unit: 'MiB', notes }, limit);
}

function mean(figures: readonly number[]): number {
  return figures.reduce((sum, figure) => sum + figure, 0) / figures.length;
}
