import { apiVersion, ltiRegistrations } from '../src/api/names.ts';
import type { LtiRegistration } from '../src/api/objects.ts';
import type { KubeClient } from '../src/kube/client.ts';
import type { KubeObject } from '../src/kube/objects.ts';

/** More concurrent creates are not faster. */
const creators = 16;

/**
 * Creates `count` registrations and waits until all are Ready. Returns the seconds from the first create on, and calls `ready` for each
 * that became Ready, with the number so far and the seconds.
 */
export async function bringUpRegistrations(
  client: KubeClient,
  namespace: string,
  count: number,
  ready: (count: number, seconds: number) => void = () => undefined,
  spec: object = {},
): Promise<number> {
  const { resourceVersion } = (await client.list<LtiRegistration>(ltiRegistrations, { namespace })).metadata;
  const start = performance.now();
  const seconds = (): number => (performance.now() - start) / 1000;
  const [total] = await Promise.all([
    untilAllReady(client, namespace, resourceVersion, count, (number) => ready(number, seconds())).then(seconds),
    createAll(client, namespace, count, spec),
  ]);
  return total;
}

/** The API server may end a watch at any time; the next one continues from the same version. */
async function untilAllReady(
  client: KubeClient,
  namespace: string,
  since: string,
  count: number,
  report: (ready: number) => void,
): Promise<void> {
  const ready = new Set<string>();
  const stop = new AbortController();
  for (let resourceVersion = since; ready.size < count;) {
    const options = { namespace, resourceVersion, timeoutSeconds: 3600 };
    for await (const event of await client.watch<LtiRegistration>(ltiRegistrations, options, stop.signal)) {
      ({ resourceVersion = resourceVersion } = event.object.metadata);
      if (event.type !== 'MODIFIED') continue;
      const { metadata, status } = event.object;
      const isReady = status?.conditions?.some(
        (condition) => condition.type === 'Ready' && condition.status === 'True',
      );
      if (!isReady || ready.has(metadata.name)) continue;
      report(ready.add(metadata.name).size);
      if (ready.size === count) break;
    }
  }
  stop.abort();
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
