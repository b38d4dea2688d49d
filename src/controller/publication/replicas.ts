import { endpointSlices } from '../../api/names.ts';
import type { ControllerConfig } from '../../config.ts';
import type { KubeClient } from '../../kube/client.ts';
import { createInformer } from '../../kube/informer.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../observability/log.ts';
import type { WatchSource } from '../../observability/metrics.ts';
import { type EndpointSlice, type ReplicaTargets, serviceReplicas, withPublicURL } from './replica-targets.ts';

/** The replicas of the JWKS server, and the public URL in front of them. */
export interface Replicas {
  /** With the public URL. */
  readonly targets: ReplicaTargets;
  /** Without it. */
  readonly own: ReplicaTargets;
  /** The watches on the endpoints. */
  readonly scopes: readonly WatchSource[];
  /** Ready endpoints of the JWKS Service; `undefined` before they are read, and if --jwks-probe-url names the replicas. */
  readonly count: () => number | undefined;
  /** Calls `handler` when replicas come or go. */
  onChange(handler: () => void): void;
  run(signal: AbortSignal): Promise<void>;
}

/** The replicas that have to serve a key: those that --jwks-probe-url names, else the endpoints of the Service; and the public URL. */
export function replicaTargets(
  { jwksProbeUrls, jwksService, jwksPublicUrl }: ControllerConfig,
  watched: { readonly client: KubeClient; readonly clock: Clock; readonly log: Logger },
): Replicas {
  if (jwksProbeUrls.length > 0) {
    const own: ReplicaTargets = async () => jwksProbeUrls;
    return {
      targets: withPublicURL(own, jwksPublicUrl),
      own,
      scopes: [],
      count: () => undefined,
      onChange: () => undefined,
      run: () => Promise.resolve(),
    };
  }
  const slices = createInformer<EndpointSlice>({
    ...watched,
    type: endpointSlices,
    namespaces: [watched.client.namespace],
    labelSelector: `kubernetes.io/service-name=${jwksService}`,
  });
  const endpoints = serviceReplicas(slices, watched.clock);
  return {
    targets: withPublicURL(endpoints.targets, jwksPublicUrl),
    own: endpoints.targets,
    scopes: slices.scopes,
    count: () => endpoints.count(),
    onChange: (handler) => endpoints.onChange(handler),
    run: (signal) => slices.run(signal),
  };
}
