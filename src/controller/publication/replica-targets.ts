import { type Duration, second } from '../../domain/duration.ts';
import type { Informer } from '../../kube/informer.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { type Clock, sleep } from '../../lib/clock.ts';

interface EndpointSlice extends KubeObject {
  readonly addressType: 'IPv4' | 'IPv6' | 'FQDN';
  readonly ports?: readonly { readonly name?: string; readonly port?: number }[] | null;
  readonly endpoints?: readonly {
    readonly addresses: readonly string[];
    readonly conditions?: { readonly ready?: boolean };
    readonly targetRef?: { readonly uid?: string };
  }[];
}

/**
 * The base URLs, without a trailing slash, that have to serve a key before it may sign; `undefined` while they are unknown. An empty
 * list does not mean that every replica serves the key.
 */
export type ReplicaTargets = () => Promise<readonly string[] | undefined>;

export interface ServiceReplicas {
  readonly targets: ReplicaTargets;
  /** The number of ready endpoints; `undefined` while it is unknown. */
  count(): number | undefined;
  /** Calls `handler` after the set of ready endpoints has changed, and for no other change of a slice. */
  onChange(handler: () => void): void;
}

/** The API server ends each watch after a while; the next one opens well within this time. */
const reconnectionTime: Duration = 2 * second;
const reconnectionPoll: Duration = 100;
/** A change of a Service arrives as several changes of its slices. */
const settlingTime: Duration = second;

type Slices = Pick<Informer<EndpointSlice>, 'list' | 'connected' | 'onChange' | 'onRead'>;

/** Each ready Pod of the JWKS Service once, from its EndpointSlices: at the port named `https`, or else `http`. */
export function serviceReplicas(slices: Slices, clock: Clock): ServiceReplicas {
  const isCurrent = upToDate(slices, clock);
  let reported = '';
  const current = (): string => readyEndpoints(slices.list()).toSorted().join();
  // The first list is not a change.
  slices.onRead(() => (reported = current()));
  return {
    targets: async () => ((await isCurrent()) ? readyEndpoints(slices.list()) : undefined),
    count: () => (slices.connected() ? readyEndpoints(slices.list()).length : undefined),
    onChange(handler) {
      let settling = false;
      slices.onChange(() => {
        if (settling) return;
        settling = true;
        clock.setTimer(() => {
          settling = false;
          const ready = current();
          if (ready === reported) return;
          reported = ready;
          handler();
        }, settlingTime);
      });
    },
  };
}

/** Adds the public URL, which is what platforms request, if there is a replica at all. */
export function withPublicURL(targets: ReplicaTargets, publicURL: string | undefined): ReplicaTargets {
  return async () => {
    const bases = await targets();
    if (publicURL === undefined || bases === undefined || bases.length === 0) return bases;
    return [...new Set([...bases, publicURL])];
  };
}

/** Whether the slices are up to date. Concurrent callers wait together for a watch to reconnect, and only once per gap. */
function upToDate(slices: Slices, clock: Clock): () => Promise<boolean> {
  let waiting: Promise<boolean> | undefined;
  let waitedInVain = false;
  const reconnected = async (): Promise<boolean> => {
    for (let waited = 0; waited < reconnectionTime && !slices.connected(); waited += reconnectionPoll) {
      await sleep(clock, reconnectionPoll);
    }
    waitedInVain = !slices.connected();
    waiting = undefined;
    return !waitedInVain;
  };
  return async () => {
    if (slices.connected()) {
      waitedInVain = false;
      return true;
    }
    if (waitedInVain) return false;
    return (waiting ??= reconnected());
  };
}

function readyEndpoints(slices: readonly EndpointSlice[]): readonly string[] {
  const urls = new Map<string, string>();
  for (const slice of slices) {
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
}

function portNamed(
  { ports }: EndpointSlice,
  name: 'http' | 'https',
): { readonly name: string; readonly number: number } | undefined {
  const number = ports?.find((port) => port.name === name)?.port;
  return number === undefined ? undefined : { name, number };
}

export type { EndpointSlice };
