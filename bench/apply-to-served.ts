import { setTimeout as wait } from 'node:timers/promises';
import { ltiRegistrations, registrationPath } from '../src/api/names.ts';
import type { KubeClient } from '../src/kube/client.ts';
import { generateKeys } from './key-generation.ts';
import { withOperator } from './operator.ts';
import { quantile } from './quantile.ts';
import { registration } from './registrations.ts';
import { bounded, type Measurement, type Row } from './row.ts';

const count = 100;
const namespace = 'bench';
/** The operator is idle again after this time. */
const pauseMs = 100;

/**
 * The time from sending a registration to the API server, as `kubectl apply` does, until the sidecar serves its key: one at a time,
 * with an idle operator. The time that key generation takes varies and is inherent, so the same quantile of it is subtracted.
 */
export const applyToServed: Measurement = {
  rows: ['apply-to-served', 'apply-to-served-p99'],
  measure: () =>
    withOperator(namespace, async ({ client, operator }) => {
      const generation = await generateKeys(count, 1);
      const times: number[] = [];
      for (let number = 0; number < count; number += 1) {
        times.push(await untilServed(client, operator.jwksUrl, `platform-${number}`));
        await wait(pauseMs);
      }
      // The first one is a warm-up.
      return [
        row('apply-to-served', 0.5, 250, times.slice(1), generation.each),
        row('apply-to-served-p99', 0.99, 1000, times.slice(1), generation.each),
      ];
    }),
};

async function untilServed(client: KubeClient, jwksUrl: string, name: string): Promise<number> {
  const url = jwksUrl + registrationPath(namespace, name);
  const began = performance.now();
  await client.create(ltiRegistrations, registration(namespace, name));
  for (;;) {
    const { ok } = await fetch(url);
    if (ok) return performance.now() - began;
    await wait(2);
  }
}

function row(name: string, of: number, atMost: number, times: readonly number[], generation: readonly number[]): Row {
  const [all, alone] = [quantile(times, of), quantile(generation, of)];
  const value = all - alone;
  return bounded(
    {
      name,
      value,
      unit: 'ms',
      notes: [
        `p${of * 100} of ${times.length}: ${all.toFixed(0)} ms from apply to served, ${alone.toFixed(0)} ms for key generation alone`,
      ],
    },
    atMost,
  );
}
