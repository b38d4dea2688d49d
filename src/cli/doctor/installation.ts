import { endpointSlices, jwksServiceName, leases, operatorName } from '../../api/names.ts';
import { formatDuration, minute, second } from '../../domain/duration.ts';
import { toleratedClockSkew } from '../../domain/timing.ts';
import type { KubeClient } from '../../kube/client.ts';
import { ifExists } from '../../kube/errors.ts';
import type { Lease } from '../../kube/lease.ts';
import type { KubeObject, ResourceType } from '../../kube/objects.ts';
import type { Clock } from '../../lib/clock.ts';
import { version } from '../../version.ts';
import { versionProblem } from '../cluster.ts';
import { controllerArgs, type Deployment, isOurs, ofOperator } from '../deployment.ts';
import { servedVersions } from '../discovery.ts';
import { formatAge } from '../output.ts';
import { examine, failed, type Finding, passed, unknown, warning } from './finding.ts';

/** Checks of what runs in the operator's namespace, and of what its installation adds to the cluster. */

const monitoringGroup = 'monitoring.coreos.com';

export function checkCrds(client: KubeClient): Promise<Finding> {
  return examine('CRDs', async () => {
    const problem = await versionProblem(client);
    if (problem === undefined) return passed('the cluster serves the version that this kubectl-lti needs');
    const [what = '', remedy = ''] = problem.split(': ');
    return failed(what, remedy);
  });
}

export function checkDeployment(namespace: string, deployment: Deployment | undefined): Promise<Finding> {
  return examine('Deployment', async () => {
    if (!deployment) {
      return failed(
        `namespace ${namespace} has no Deployment of the operator`,
        'install the operator, or name its namespace with --operator-namespace',
      );
    }
    const { metadata, spec, status } = deployment;
    const [wanted, ready] = [spec.replicas ?? 1, status?.readyReplicas ?? 0];
    const detail = `${ready} of ${wanted} replicas of ${metadata.name} are ready`;
    if (wanted === 0) return failed(detail, `kubectl scale deployment ${metadata.name} -n ${namespace} --replicas=2`);
    const remedy = `kubectl describe pods -n ${namespace} -l ${ofOperator}`;
    if (ready === 0) return failed(detail, remedy);
    return ready < wanted ? warning(detail, remedy) : passed(detail);
  });
}

export function checkVersions(deployment: Deployment): Promise<Finding> {
  return examine('versions', async () => {
    const images = [...new Set(deployment.spec.template.spec.containers.flatMap(({ image }) => image ?? []))];
    const ours = images.filter((image) => image.includes(operatorName));
    const tags = ours.map((image) => /:([^:/]+)$/.exec(image.replace(/@.*$/, ''))?.[1]);
    const shown = `image ${images.join(', ')}; this kubectl-lti is ${version}`;
    if (tags.length === 0 || tags.includes(undefined)) {
      return unknown(shown, 'compare the release of the image yourself: its name does not contain it');
    }
    return tags.every((tag) => tag?.replace(/^v/, '') === version)
      ? passed(shown)
      : warning(shown, 'use the kubectl-lti of the release of the operator');
  });
}

export function checkLease(client: KubeClient, namespace: string, clock: Clock): Promise<Finding> {
  return examine('leader', async () => {
    const remedy = `see the log: kubectl logs -n ${namespace} -l ${ofOperator} -c controller`;
    const lease = await ifExists(client.get<Lease>(leases, namespace, operatorName));
    if (!lease) return failed(`no process has led yet: there is no Lease ${namespace}/${operatorName}`, remedy);
    const { holderIdentity, renewTime = '', leaseDurationSeconds = 15 } = lease.spec ?? {};
    if (!holderIdentity) return failed('no process leads: the Lease was released', remedy);
    // The leader's clock wrote it; a minute more than the duration tolerates usual differences.
    const age = clock.now().getTime() - (client.clockSkew() ?? 0) - Date.parse(renewTime);
    const detail = `${holderIdentity} leads, and renewed the Lease ${formatAge(age)} ago`;
    if (!(age <= leaseDurationSeconds * second + minute)) return failed(detail, remedy);
    return passed(detail);
  });
}

interface EndpointSlice extends KubeObject {
  readonly endpoints?: readonly { readonly conditions?: { readonly ready?: boolean } }[] | null;
}

export function checkService(client: KubeClient, namespace: string, service: string): Promise<Finding> {
  return examine('JWKS Service', async () => {
    const labelSelector = `kubernetes.io/service-name=${service}`;
    const { items } = await client.list<EndpointSlice>(endpointSlices, { namespace, labelSelector });
    const endpoints = items.flatMap((slice) => slice.endpoints ?? []);
    const ready = endpoints.filter(({ conditions }) => conditions?.ready !== false).length;
    const detail = `${ready} of ${endpoints.length} endpoints of Service ${namespace}/${service} are ready`;
    if (ready > 0) return passed(detail);
    return failed(
      `${detail}: platforms get no keys from it`,
      `kubectl describe service ${service} -n ${namespace}; see the readiness of the container jwks`,
    );
  });
}

/** The name in the option `--jwks-service` of the controller; the default if it depends on what only the Pod knows. */
export function serviceName(deployment: Deployment | undefined): string {
  const given = valuesOf(deployment, '--jwks-service').at(-1)?.split('/').at(-1);
  return given === undefined || given.includes('$') ? jwksServiceName : given;
}

/** Empty: all namespaces. */
export function watchedNamespaces(deployment: Deployment | undefined): readonly string[] {
  return valuesOf(deployment, '--namespace').filter((value) => !value.includes('$'));
}

function valuesOf(deployment: Deployment | undefined, option: string): readonly string[] {
  const args = (deployment && controllerArgs(deployment)) ?? [];
  return args.flatMap((arg, index) => {
    if (arg.startsWith(`${option}=`)) return [arg.slice(option.length + 1)];
    return arg === option ? [args[index + 1] ?? ''] : [];
  });
}

/** Of the machine that runs the command; a condition of each registration shows that of the operator. */
export function checkClock(client: KubeClient): Promise<Finding> {
  return examine('clock', async () => {
    const skew = client.clockSkew();
    if (skew === undefined) return unknown('the API server sent no date', 'compare the clocks yourself');
    if (Math.abs(skew) < second) return passed('this machine and the API server agree within a second');
    const detail = `the clock of this machine is ${formatAge(skew)} ${skew > 0 ? 'ahead of' : 'behind'} that of the API server`;
    if (Math.abs(skew) < minute) return passed(detail);
    const remedy = `correct the clock that is wrong; over ${formatDuration(toleratedClockSkew)}, the operator starts no rotation`;
    return Math.abs(skew) > toleratedClockSkew ? failed(detail, remedy) : warning(detail, remedy);
  });
}

/** Monitors of the Prometheus Operator, if the cluster has its API. */
export function checkMonitors(client: KubeClient, namespace: string): Promise<Finding> {
  return examine('monitors', async () => {
    const remedy = 'see docs/runbooks.md for the alerts and docs/metrics.md for how to scrape';
    const [served] = await servedVersions(client, monitoringGroup);
    if (served === undefined) {
      return unknown(
        'the cluster has no Prometheus Operator, so another configuration decides what is scraped',
        remedy,
      );
    }
    const kinds = ['PodMonitor', 'ServiceMonitor', 'PrometheusRule'];
    const counts = await Promise.all(
      kinds.map(async (kind): Promise<[string, number]> => {
        const type: ResourceType = { group: monitoringGroup, version: 'v1', kind, plural: `${kind.toLowerCase()}s` };
        const { items } = await client.list(type, { namespace });
        return [kind, items.filter(({ metadata }) => isOurs(metadata.labels)).length];
      }),
    );
    const count = new Map(counts);
    const missing = [
      ...(count.get('PodMonitor') || count.get('ServiceMonitor') ? [] : ['PodMonitor']),
      ...(count.get('PrometheusRule') ? [] : ['PrometheusRule']),
    ];
    if (missing.length === 0) return passed('the operator is scraped and has alerts');
    return warning(`namespace ${namespace} has no ${missing.join(' and no ')} with label ${ofOperator}`, remedy);
  });
}
