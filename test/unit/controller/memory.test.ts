import { expect } from 'chai';
import { randomBytes, randomUUID, webcrypto } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { OpenedKeys } from '../../../src/controller/keys/opened-keys.ts';
import { keyIDOf, ltiKeyIndexers, registrationOf } from '../../../src/controller/event-handlers.ts';
import type { LtiKey, LtiRegistration } from '../../../src/api/objects.ts';
import { objectKey } from '../../../src/kube/objects.ts';
import { Store } from '../../../src/kube/store.ts';
import { WorkQueue } from '../../../src/kube/workqueue.ts';
import { DocumentRenderer } from '../../../src/publish/document-renderer.ts';
import { PublishedKeys } from '../../../src/publish/published-keys.ts';
import { rsaThumbprint } from '../../../src/lib/thumbprint.ts';
import { anLtiRegistration } from '../../builders/registration.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

/** The budget of docs/design/0006-memory.md: bytes of heap that one registration with one key takes while nothing happens. */
const budget = {
  registration: 3584,
  key: 3072,
  publisher: 2048,
  operator: 640,
} as const;

const count = 2000;
const time = '2026-01-02T03:04:05Z';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

/** As the API server sends it: each text of its own. */
// oxlint-disable-next-line no-unnecessary-type-parameters -- the caller knows what the object is
function parsed<T>(object: unknown): T {
  return JSON.parse(JSON.stringify(object));
}

function conditions(...types: readonly string[]): object[] {
  return types.map((type) => ({
    type,
    status: 'True',
    reason: 'SigningKeyReady',
    message: `key ${'k'.repeat(43)} signs, and every ready replica serves it, says ${type}`,
    lastTransitionTime: time,
    observedGeneration: 1,
  }));
}

function metadata(name: string): object {
  return {
    name,
    namespace: 'bank',
    uid: randomUUID(),
    resourceVersion: '123456789',
    generation: 1,
    creationTimestamp: time,
  };
}

function aStoredRegistration(number: number): LtiRegistration {
  const host = `https://platform-${number}.example.org`;
  return parsed({
    ...anLtiRegistration({
      issuer: host,
      clientID: `tool-${number}`,
      authorizationEndpoint: `${host}/authorize`,
      tokenEndpoint: `${host}/token`,
      jwksURI: `${host}/jwks`,
    }),
    metadata: metadata(`platform-${number}`),
    status: {
      observedGeneration: 1,
      phase: 'Ready',
      conditions: conditions(
        ...(['Ready', 'Published', 'KeyMaterialAvailable', 'Registered'] as const),
        ...(['ActionRequired', 'Reconciling', 'Stalled'] as const),
      ),
      activeKey: { name: `platform-${number}-1`, keyID: 'k'.repeat(43), createdAt: time, activatedAt: time },
      nextRotationTime: time,
      ledgerSerial: 2,
    },
  });
}

function aStoredKey(number: number): LtiKey {
  const modulus = randomBytes(256);
  modulus[0]! |= 0x80;
  const n = modulus.toString('base64url');
  const kid = rsaThumbprint({ n, e: 'AQAB' });
  return parsed({
    apiVersion: 'ltikeys.dev/v1alpha1',
    kind: 'LtiKey',
    metadata: { ...metadata(`platform-${number}-1`), labels: { 'ltikeys.dev/registration': `platform-${number}` } },
    spec: {
      registrationRef: { name: `platform-${number}` },
      revision: 1,
      keyID: kid,
      algorithm: 'RS256',
      size: 2048,
      publicJWK: { kty: 'RSA', use: 'sig', alg: 'RS256', kid, n, e: 'AQAB' },
    },
    status: {
      state: 'Active',
      createdAt: time,
      publishedAt: time,
      activatedAt: time,
      kekID: 'k1',
      ledgerSerial: 2,
      conditions: conditions('Published', 'KeyMaterialAvailable'),
    },
  });
}

/** Bytes of heap that what `make` returns takes, for each of `count`. */
function bytesEach<T>(make: () => T): { readonly kept: T; readonly bytes: number } {
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  const kept = make();
  collectGarbage();
  return { kept, bytes: (process.memoryUsage().heapUsed - before) / count };
}

describe('The memory of an idle registration', () => {
  const numbers = Array.from({ length: count }, (_, index) => index);
  let keys: Store<LtiKey>;

  it(`A cached registration takes at most ${budget.registration} bytes`, () => {
    const { kept, bytes } = bytesEach(() => {
      const store = new Store<LtiRegistration>();
      for (const number of numbers) store.put(aStoredRegistration(number));
      return store;
    });
    expect(kept.list()).to.have.length(count);
    expect(bytes).to.be.within(500, budget.registration);
  });

  it(`A cached LtiKey takes at most ${budget.key} bytes with both indexes`, () => {
    const { kept, bytes } = bytesEach(() => {
      const store = new Store<LtiKey>(ltiKeyIndexers);
      for (const number of numbers) store.put(aStoredKey(number));
      return store;
    });
    keys = kept;
    expect(keys.byIndex('keyID', keyIDOf(keys.list()[0]!))).to.have.length(1);
    expect(bytes).to.be.within(500, budget.key);
  });

  it(`The publisher takes at most ${budget.publisher} bytes for a registration, including aggregates`, () => {
    const { kept, bytes } = bytesEach(() => {
      const published = new PublishedKeys(() => undefined);
      const documents = new DocumentRenderer({ all: true });
      for (const key of keys.list()) {
        const { name } = key.spec.registrationRef;
        const keysOf = published.update({ namespace: 'bank', registration: name }, [key], 0);
        documents.setKeys('bank', name, keysOf ?? []);
      }
      return { published, documents };
    });
    expect(kept.documents.files()).to.have.length(count + 2);
    expect(bytes).to.be.within(500, budget.publisher);
  });

  it(`The controller takes at most ${budget.operator} bytes for a registration, and no timer`, async () => {
    const kek = await webcrypto.subtle.importKey('raw', randomBytes(32), 'AES-KW', false, ['unwrapKey']);
    const clock = new FakeClock();
    const { kept, bytes } = bytesEach(() => {
      const queue = new WorkQueue({ clock, name: 'test' });
      const opened = new OpenedKeys();
      for (const key of keys.list()) {
        queue.addAfter(registrationOf(key), 1_800_000 + Math.random());
        opened.remember(registrationOf(key), new Map([[objectKey(key), kek]]));
      }
      return { queue, opened };
    });
    expect(kept.queue.size, 'delayed').to.equal(0);
    expect(clock.pendingTimers).to.equal(1);
    expect(bytes).to.be.within(50, budget.operator);
  });
});
