import { type Duration, second } from '../../domain/duration.ts';
import type { Informer } from '../../kube/informer.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { type Clock, sleep } from '../../lib/clock.ts';

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

/** Base URLs, without a trailing slash; `undefined` while nobody knows them. Zero of them is not a yes. */
export type Targets = () => Promise<readonly string[] | undefined>;

export interface EndpointTargets {
  readonly targets: Targets;
  /** How many endpoints are ready; `undefined` while nobody knows. */
  count(): number | undefined;
  /** Called when the set of ready endpoints has become another one, and not for any other change of a slice. */
  onChange(handler: () => void): void;
}

/** The API server ends every watch in time; the next one is open well within this. */
const reconnection: Duration = 2 * second;
const reconnectionPoll: Duration = 100;
/** A change of a Service comes as several changes of its slices. */
const changeSettles: Duration = second;

type Slices = Pick<Informer<EndpointSlice>, 'list' | 'connected' | 'onChange' | 'onRead'>;

/** Each ready Pod behind the JWKS Service once, by its EndpointSlices: at the port called `https`, or else `http`. */
export function endpointTargets(slices: Slices, clock: Clock): EndpointTargets {
  const isCurrent = currency(slices, clock);
  let reported = '';
  const current = (): string => readyEndpoints(slices.list()).toSorted().join();
  // Who was looked at before waits for them; nothing has changed for the others.
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
        }, changeSettles);
      });
    },
  };
}

/** Who serves the public URL serves platforms, so that is asked too where there is a replica at all. */
export function withPublicURL(targets: Targets, publicURL: string | undefined): Targets {
  return async () => {
    const bases = await targets();
    if (publicURL === undefined || bases === undefined || bases.length === 0) return bases;
    return [...new Set([...bases, publicURL])];
  };
}

/** Whether the slices are as new as they get. One gap in the watch is waited for once, by all who ask together. */
function currency(slices: Slices, clock: Clock): () => Promise<boolean> {
  let waiting: Promise<boolean> | undefined;
  let waitedInVain = false;
  const reconnected = async (): Promise<boolean> => {
    for (let waited = 0; waited < reconnection && !slices.connected(); waited += reconnectionPoll) {
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
