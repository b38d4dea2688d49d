import { setTimeout as wait } from 'node:timers/promises';
import { ltiRegistrations } from '../src/api/names.ts';
import type { LtiRegistration } from '../src/api/objects.ts';
import type { KubeClient } from '../src/kube/client.ts';
import { isConflict } from '../src/kube/errors.ts';
import { type Bed, withOperator } from './operator.ts';
import { residentMiB } from './process-figures.ts';
import { pollJwks } from './poll-jwks.ts';
import { quantile } from './quantile.ts';
import { bringUpRegistrations, registration } from './registrations.ts';
import type { Measurement, Row } from './row.ts';

/** Constant churn for an hour: memory has to be flat, and the key set has to be served at all times. */

const namespace = 'bench';
/** Each second one registration begins a rotation, one is created, and one that was created a few seconds ago is deleted. */
const churnMs = 1000;
const passingAtOnce = 5;
const restartMs = 60_000;
/** A rotation ends soon and a deletion leaves nothing behind, so that the number of keys is constant. */
const spec = { activationDelay: '5s', overlap: '20s', deletionPolicy: 'Delete' };
const controllerOptions = ['--minimum-activation-delay=1s', '--minimum-overlap=1s'];

export const soak: Measurement = {
  rows: ['soak-controller-rss', 'soak-sidecar-rss', 'soak-jwks-failures'],
  onlyByName: true,
  measure: ({ registrations, minutes }) =>
    withOperator(namespace, (bed) => run(bed, registrations, minutes), { replicas: 2, controllerOptions }),
};

async function run(bed: Bed, registrations: number, minutes: number): Promise<readonly Row[]> {
  const { client, operator, follower } = bed;
  if (!follower) throw new Error('there have to be two replicas');
  console.log(`soak: ${registrations} registrations are applied`);
  await bringUpRegistrations(client, namespace, registrations, undefined, spec);
  let isDown = false;
  const polls = [pollJwks(operator.jwksUrl, namespace), pollJwks(follower.jwksUrl, namespace, () => isDown)];
  const memory = await churn(bed, registrations, minutes * 60_000, async () => {
    isDown = true;
    await follower.restart();
    isDown = false;
  });
  const [leading, following] = await Promise.all(polls.map((poll) => poll.stop()));
  if (!leading || !following) throw new Error('both replicas are polled');
  const failed = leading.failed + following.failed;
  return [
    growthRow('soak-controller-rss', memory.controller),
    growthRow('soak-sidecar-rss', memory.sidecar),
    {
      name: 'soak-jwks-failures',
      value: failed,
      unit: 'fetches',
      limit: { of: 'value', atMost: 0 },
      ratio: failed,
      notes: [
        `${leading.failed} of ${leading.asked} fetches of one key set from the replica that leads, and ${following.failed} of ${following.asked} from the one that is restarted each minute, while it is ready, in ${minutes} minutes`,
      ],
    },
  ];
}

interface Memory {
  readonly controller: readonly number[];
  readonly sidecar: readonly number[];
}

/** Returns the memory of both processes of the leading replica at each restart of the other one, in MiB. */
async function churn(
  { client, operator }: Bed,
  count: number,
  lengthMs: number,
  restart: () => Promise<void>,
): Promise<Memory> {
  const memory = { controller: [] as number[], sidecar: [] as number[] };
  const minutes = lengthMs / restartMs;
  const began = performance.now();
  const passing: string[] = [];
  let restarting: Promise<void> = Promise.resolve();
  for (let step = 1; memory.controller.length < minutes; step += 1) {
    await changeTrigger(client, `platform-${1 + (step % count)}`, `step ${step}`);
    passing.push(`passing-${step}`);
    await client.create(ltiRegistrations, registration(namespace, `passing-${step}`, spec));
    if (passing.length > passingAtOnce && (await remove(client, passing[0]!))) passing.shift();
    if (performance.now() >= began + (memory.controller.length + 1) * restartMs) {
      memory.controller.push(residentMiB(operator.controller.pid).now);
      memory.sidecar.push(residentMiB(operator.sidecar.pid).now);
      console.log(
        `soak: controller ${memory.controller.at(-1)?.toFixed(0)} MiB, sidecar ${memory.sidecar.at(-1)?.toFixed(0)} MiB; the other replica is restarted`,
      );
      await restarting;
      restarting = restart();
    }
    await wait(churnMs);
  }
  await restarting;
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

/** Returns false if the admission policy refuses, because the operator has not seen the registration yet. */
async function remove(client: KubeClient, name: string): Promise<boolean> {
  try {
    await client.delete(ltiRegistrations, await client.get<LtiRegistration>(ltiRegistrations, namespace, name));
    return true;
  } catch (error) {
    if (isConflict(error) || isForbidden(error)) return false;
    throw error;
  }
}

function isForbidden(error: unknown): boolean {
  return error instanceof Error && 'status' in error && (error.status === 403 || error.status === 422);
}

/** Compares the last quarter of the run with the second one. */
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
