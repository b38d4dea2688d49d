import type { KubeObject } from '../../kube/objects.ts';
import type { Store } from '../../kube/store.ts';

/** Who has to serve a key before it may sign. */

interface EndpointSlice extends KubeObject {
  readonly addressType: 'IPv4' | 'IPv6' | 'FQDN';
  readonly ports?: readonly { readonly name?: string; readonly port?: number }[] | null;
  readonly endpoints?: readonly {
    readonly addresses: readonly string[];
    readonly conditions?: { readonly ready?: boolean };
    readonly targetRef?: { readonly uid?: string };
  }[];
}

/** Base URLs, without a trailing slash. Zero of them is not a yes. */
export type Targets = () => readonly string[];

/** Each ready Pod behind the JWKS Service once, by its EndpointSlices: at the port called `https`, or else `http`. */
export function endpointTargets(slices: Pick<Store<EndpointSlice>, 'list'>): Targets {
  return () => {
    const urls = new Map<string, string>();
    for (const slice of slices.list()) {
      const port = portNamed(slice, 'https') ?? portNamed(slice, 'http');
      if (port === undefined) continue;
      for (const endpoint of slice.endpoints ?? []) {
        const address = endpoint.addresses[0];
        // An absent condition means ready (discovery.k8s.io/v1 EndpointConditions).
        if (address === undefined || endpoint.conditions?.ready === false) continue;
        const host = slice.addressType === 'IPv6' ? `[${address}]` : address;
        const pod = endpoint.targetRef?.uid ?? host;
        if (!urls.has(pod)) urls.set(pod, `${port.name}://${host}:${port.number}`);
      }
    }
    return [...urls.values()];
  };
}

function portNamed(
  { ports }: EndpointSlice,
  name: 'http' | 'https',
): { readonly name: string; readonly number: number } | undefined {
  const number = ports?.find((port) => port.name === name)?.port;
  return number === undefined ? undefined : { name, number };
}

export type { EndpointSlice };
