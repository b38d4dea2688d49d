import { registrationMetrics } from '../src/controller/registration-metrics.ts';
import { ltiKeyIndexers } from '../src/controller/event-handlers.ts';
import type { LtiKey, LtiRegistration } from '../src/api/objects.ts';
import { Store } from '../src/kube/store.ts';
import { createLogger } from '../src/observability/log.ts';
import { createRegistry } from '../src/observability/metrics.ts';
import { objectMetrics } from '../src/observability/object-metrics.ts';
import { startProbes } from '../src/observability/probes.ts';
import { anLtiRegistration } from '../test/builders/registration.ts';

/** `metrics-scrape-child.ts COUNT`: serves the metrics of COUNT registrations, as the controller does, and prints its port. */

const count = Number(process.argv[2]);
const registrations = new Store<LtiRegistration>();
const keys = new Store<LtiKey>(ltiKeyIndexers);
const time = '2026-01-01T00:00:00Z';

for (let number = 0; number < count; number += 1) {
  const namespace = `tenant-${number % 100}`;
  const name = `registration-${number}`;
  registrations.put(registration(namespace, name, number));
  for (const [index, state] of (['Retired', 'Active'] as const).entries()) {
    keys.put(key(namespace, name, index + 1, state));
  }
}

const source = {
  list: () => registrations.list(),
  get: (place: string) => registrations.get(place),
  isRead: () => true,
};
const { port } = await startProbes({
  address: '127.0.0.1:0',
  ready: {},
  metrics: createRegistry('bench'),
  streamed: () => objectMetrics(registrationMetrics(source, keys)),
  log: createLogger({ level: 'warn', format: 'json' }),
});
console.log(JSON.stringify({ address: `127.0.0.1:${port}` }));

/** A registration after its first rotation; each tenth is stalled. */
function registration(namespace: string, name: string, number: number): LtiRegistration {
  const stalled = number % 10 === 0;
  const condition = (type: string, status: 'True' | 'False', reason: string) =>
    ({ type, status, reason, message: `${type} of ${name}`, lastTransitionTime: time, observedGeneration: 1 }) as const;
  return {
    ...anLtiRegistration(),
    metadata: { namespace, name, resourceVersion: String(number), generation: 1 },
    status: {
      observedGeneration: 1,
      phase: stalled ? 'Stalled' : 'Ready',
      conditions: [
        condition('Ready', 'True', 'SigningKeyReady'),
        condition('Published', 'True', 'ServedByAllReplicas'),
        condition('KeyMaterialAvailable', 'True', 'KeysDecryptable'),
        condition('ActionRequired', 'False', 'NoActionRequired'),
        condition('Reconciling', 'False', 'UpToDate'),
        stalled ? condition('Stalled', 'True', 'OverlapTooShort') : condition('Stalled', 'False', 'NotStalled'),
      ],
      activeKey: { name: `${name}-2`, keyID: `${name}-2`, createdAt: time, activatedAt: time },
      nextRotationTime: '2026-04-01T00:00:00Z',
      ledgerSerial: 9,
    },
  };
}

function key(namespace: string, name: string, revision: number, state: 'Active' | 'Retired'): LtiKey {
  const keyID = `${name}-${revision}`;
  return {
    apiVersion: 'ltikeys.dev/v1alpha1',
    kind: 'LtiKey',
    metadata: { namespace, name: keyID, resourceVersion: String(revision) },
    spec: {
      registrationRef: { name },
      revision,
      keyID,
      algorithm: 'RS256',
      size: 2048,
      publicJWK: { kty: 'RSA', use: 'sig', alg: 'RS256', kid: keyID, n: 'n', e: 'AQAB' },
    },
    status: { state, createdAt: time, activatedAt: time },
  };
}
