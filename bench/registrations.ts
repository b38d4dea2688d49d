import { apiVersion, ltiRegistrations } from '../src/api/names.ts';
import type { LtiRegistration } from '../src/api/objects.ts';
import type { KubeClient } from '../src/kube/client.ts';
import type { KubeObject, WatchEvent } from '../src/kube/objects.ts';

/** More at once do not arrive sooner. */
const creators = 16;

/**
 * Creates `count` registrations and waits until the last one is Ready, by one watch. Returns the seconds from the
 * first create on; `ready` is told of each that became Ready, how many are by then, and the seconds.
 */
export async function bringUpRegistrations(
  client: KubeClient,
  namespace: string,
  count: number,
  ready: (count: number, seconds: number) => void = () => undefined,
  spec: object = {},
): Promise<number> {
  const stop = new AbortController();
  const { resourceVersion = '' } = (await client.list<LtiRegistration>(ltiRegistrations, { namespace })).metadata;
  const events = await client.watch<LtiRegistration>(
    ltiRegistrations,
    { namespace, resourceVersion, timeoutSeconds: 3600 },
    stop.signal,
  );
  const start = performance.now();
  const [seconds] = await Promise.all([
    untilAllReady(events, count, (number) => ready(number, (performance.now() - start) / 1000)).then(
      () => (performance.now() - start) / 1000,
    ),
    createAll(client, namespace, count, spec),
  ]);
  stop.abort();
  return seconds;
}

async function untilAllReady(
  events: AsyncIterable<WatchEvent<LtiRegistration>>,
  count: number,
  tell: (ready: number) => void,
): Promise<void> {
  const ready = new Set<string>();
  for await (const { type, object } of events) {
    if (type !== 'MODIFIED') continue;
    const { conditions } = object.status ?? {};
    if (!conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True')) continue;
    const { name } = object.metadata;
    if (!ready.has(name)) tell(ready.add(name).size);
    if (ready.size === count) return;
  }
  throw new Error(`the watch ended when ${ready.size} of ${count} registrations were Ready`);
}

async function createAll(client: KubeClient, namespace: string, count: number, spec: object): Promise<void> {
  let begun = 0;
  const create = async (): Promise<void> => {
    while (begun < count) {
      begun += 1;
      await client.create(ltiRegistrations, registration(namespace, `platform-${begun}`, spec));
    }
  };
  await Promise.all(Array.from({ length: creators }, create));
}

/** As a user would write it: the other fields have their defaults, such as RS256 with 2048 bits. */
export function registration(
  namespace: string,
  name: string,
  spec: object = {},
): KubeObject & { readonly spec: object } {
  const host = `https://${name}.example.org`;
  return {
    apiVersion,
    kind: 'LtiRegistration',
    metadata: { namespace, name },
    spec: {
      issuer: host,
      clientID: 'tool',
      authorizationEndpoint: `${host}/authorize`,
      tokenEndpoint: `${host}/token`,
      jwksURI: `${host}/jwks`,
      ...spec,
    },
  };
}
