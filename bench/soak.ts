import { setTimeout as wait } from 'node:timers/promises';
import { ltiRegistrations } from '../src/api/names.ts';
import type { LtiRegistration } from '../src/api/objects.ts';
import type { KubeClient } from '../src/kube/client.ts';
import { isConflict, isObjectNotFound } from '../src/kube/errors.ts';
import { type Bed, withOperator } from './operator.ts';
import { residentMiB } from './process-figures.ts';
import { pollJwks } from './poll-jwks.ts';
import { quantile } from './quantile.ts';
import { bringUpRegistrations, registration } from './registrations.ts';
import type { Measurement, Row } from './row.ts';

/** Churn for an hour: is memory flat, and is the key set served at every moment? */

const namespace = 'bench';
/** Every second one registration begins a rotation, one is created, and the one before it is deleted. */
const churnMs = 1000;
const restartMs = 60_000;

export const soak: Measurement = {
  rows: ['soak-controller-rss', 'soak-sidecar-rss', 'soak-jwks-failures'],
  onlyByName: true,
  measure: ({ registrations, minutes }) =>
    withOperator(namespace, async (bed) => {
      console.log(`soak: ${registrations} registrations are applied`);
      await bringUpRegistrations(bed.client, namespace, registrations);
      const polls = pollJwks(bed.operator.jwksUrl, namespace);
      const memory = await churn(bed, registrations, minutes * 60_000);
      const { asked, failed } = await polls.stop();
      return [
        growthRow('soak-controller-rss', memory.controller),
        growthRow('soak-sidecar-rss', memory.sidecar),
        {
          name: 'soak-jwks-failures',
          value: failed,
          unit: 'fetches',
          limit: { of: 'value', atMost: 0 },
          ratio: failed,
          notes: [`of ${asked} fetches of one key set in ${minutes} minutes`],
        },
      ];
    }),
};

interface Memory {
  readonly controller: readonly number[];
  readonly sidecar: readonly number[];
}

/** Restarts the controller every minute, and returns what both processes held just before each time, in MiB. */
async function churn({ client, operator }: Bed, count: number, lengthMs: number): Promise<Memory> {
  const memory = { controller: [] as number[], sidecar: [] as number[] };
  const end = performance.now() + lengthMs;
  let restartAt = performance.now() + restartMs;
  for (let step = 1; performance.now() < end; step += 1) {
    await changeTrigger(client, `platform-${1 + (step % count)}`, `step ${step}`);
    await client.create(ltiRegistrations, registration(namespace, `passing-${step}`));
    if (step > 1) await remove(client, `passing-${step - 1}`);
    if (performance.now() >= restartAt) {
      memory.controller.push(residentMiB(operator.controller.pid).now);
      memory.sidecar.push(residentMiB(operator.sidecar.pid).now);
      console.log(
        `soak: controller ${memory.controller.at(-1)?.toFixed(0)} MiB, sidecar ${memory.sidecar.at(-1)?.toFixed(0)} MiB; the controller is restarted`,
      );
      await operator.restartController();
      restartAt = performance.now() + restartMs;
    }
    await wait(churnMs);
  }
  return memory;
}

async function changeTrigger(client: KubeClient, name: string, rotationTrigger: string): Promise<void> {
  for (;;) {
    const object = await client.get<LtiRegistration>(ltiRegistrations, namespace, name);
    try {
      await client.replace(ltiRegistrations, { ...object, spec: { ...object.spec, rotationTrigger } });
      return;
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
}

/** One that the operator has not seen may not be deleted: it is left then. */
async function remove(client: KubeClient, name: string): Promise<void> {
  try {
    await client.delete(ltiRegistrations, await client.get<LtiRegistration>(ltiRegistrations, namespace, name));
  } catch (error) {
    if (!isConflict(error) && !isObjectNotFound(error) && !isForbidden(error)) throw error;
  }
}

function isForbidden(error: unknown): boolean {
  return error instanceof Error && 'status' in error && (error.status === 403 || error.status === 422);
}

/** The last quarter of the run against the second one. */
function growthRow(name: string, figures: readonly number[]): Row {
  const quarter = Math.ceil(figures.length / 4);
  const before = quantile(figures.slice(quarter, 2 * quarter), 0.5);
  const after = quantile(figures.slice(-quarter), 0.5);
  return {
    name,
    value: after,
    unit: 'MiB',
    limit: { of: 'ratio', atMost: 1.1 },
    ratio: after / before,
    notes: [`median of the last quarter of ${figures.length} minutes, to that of the second quarter`],
  };
}
