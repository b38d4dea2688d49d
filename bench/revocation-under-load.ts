import { setTimeout as wait } from 'node:timers/promises';
import { ltiRegistrations, registrationPath } from '../src/api/names.ts';
import type { LtiRegistration } from '../src/api/objects.ts';
import type { KubeClient } from '../src/kube/client.ts';
import { isConflict } from '../src/kube/errors.ts';
import { withOperator } from './operator.ts';
import { quantile } from './quantile.ts';
import { bringUpRegistrations, registration } from './registrations.ts';
import { bounded, type Measurement } from './row.ts';

const revocations = 50;
const waitingRegistrations = 200;
const namespace = 'bench';
const otherNamespace = 'bench-waiting';
const atMostMs = 5000;

/**
 * The time from the revocation of a signing key until the sidecar no longer serves it, one registration after another, while
 * registrations of another namespace wait for their keys of 4096 bits.
 */
export const revocationUnderLoad: Measurement = {
  rows: ['revocation-under-load'],
  measure: () =>
    withOperator(namespace, async ({ client, operator }) => {
      await bringUpRegistrations(client, namespace, revocations);
      await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: otherNamespace } });
      for (let number = 1; number <= waitingRegistrations; number += 1) {
        const { spec, ...object } = registration(otherNamespace, `waiting-${number}`);
        await client.create(ltiRegistrations, Object.assign(object, { spec: { ...spec, key: { size: 4096 } } }));
      }
      const times: number[] = [];
      for (let number = 1; number <= revocations; number += 1) {
        times.push(await untilGone(client, operator.jwksUrl, `platform-${number}`));
      }
      const left = await waiting(client);
      if (left === 0) throw new Error('no registration was waiting for its key when the last one was revoked');
      const value = quantile(times, 0.99);
      return [
        bounded(
          {
            name: 'revocation-under-load',
            value,
            unit: 'ms',
            notes: [
              `p99 of ${revocations}; p50 ${quantile(times, 0.5).toFixed(0)} ms, the slowest ${Math.max(...times).toFixed(0)} ms; ${left} of ${waitingRegistrations} were still waiting at the end`,
            ],
          },
          atMostMs,
        ),
      ];
    }),
};

const namespaces = { group: '', version: 'v1', kind: 'Namespace', plural: 'namespaces' };

async function untilGone(client: KubeClient, jwksUrl: string, name: string): Promise<number> {
  const url = jwksUrl + registrationPath(namespace, name);
  const { keyID, began } = await revoke(client, name);
  while (await isServed(url, keyID)) await wait(5);
  return performance.now() - began;
}

/** Throws if there is no document: an error response does not mean that the key is gone. */
async function isServed(url: string, keyID: string): Promise<boolean> {
  const response = await fetch(url);
  const body = await response.text();
  if (!response.ok) throw new Error(`${url} responds with status ${response.status}: ${body}`);
  return body.includes(keyID);
}

/** Returns the ID of the key, and when the request was sent. */
async function revoke(client: KubeClient, name: string): Promise<{ keyID: string; began: number }> {
  for (;;) {
    const object = await client.get<LtiRegistration>(ltiRegistrations, namespace, name);
    const keyID = object.status?.activeKey?.keyID;
    if (keyID === undefined) throw new Error(`${name} has no signing key`);
    const began = performance.now();
    try {
      await client.replace(ltiRegistrations, { ...object, spec: { ...object.spec, revokedKeyIDs: [keyID] } });
      return { keyID, began };
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
}

/** The number of registrations of the other namespace without a key. */
async function waiting(client: KubeClient): Promise<number> {
  const { items } = await client.list<LtiRegistration>(ltiRegistrations, { namespace: otherNamespace });
  return items.filter(({ status }) => status?.activeKey === undefined).length;
}
