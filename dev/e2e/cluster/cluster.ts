import { Resolver } from 'node:dns/promises';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findPrograms } from '../../control-plane/binaries.ts';
import type { ControlPlane } from '../../control-plane/control-plane.ts';
import { kubeconfigVariable } from '../../control-plane/existing.ts';
import { nodePrograms } from '../../control-plane/modules.ts';
import { startControlPlane } from '../../control-plane/start.ts';
import { say } from '../narrate.ts';
import { archiveOf, images } from '../paths.ts';
import { cniFolder } from '../requirements.ts';
import { run } from '../run.ts';
import { until } from '../until.ts';
import { clusterDomain, nodeAddress, raiseNetwork } from './network.ts';
import { containerd, containerdSocket, dnsmasq, kubelet, kubeProxy, kubeScheduler } from './programs.ts';

/** A control plane and one node. It ends with the namespaces it runs in. */
export interface Cluster {
  readonly controlPlane: ControlPlane;
  /** What kubectl prints. @throws Error with kubectl's words when it fails */
  kubectl(args: readonly string[], input?: string): Promise<string>;
  /** What `kubectl get … --output=json` prints. */
  get<T>(...args: readonly string[]): Promise<T>;
  apply(...objects: readonly object[]): Promise<void>;
  /** SIGKILL to the process of a container, by the ID in the status of its Pod (`containerd://…`). */
  killContainer(containerID: string): Promise<void>;
  /** Lets Pods find a Service by its name; the DNS of this cluster does not watch Services. */
  nameService(name: string, namespace: string): Promise<void>;
}

export async function startCluster(folder: string, cgroup: string): Promise<Cluster> {
  await raiseNetwork();
  say('Starting etcd, kube-apiserver, kube-controller-manager and kube-scheduler.');
  delete process.env[kubeconfigVariable];
  const controlPlane = await startControlPlane({
    controllerManager: true,
    // All but one that makes a folder on this machine; there are no such volumes here.
    controllers: ['*', '-persistentvolume-attach-detach-controller'],
    address: nodeAddress,
    extraApiServerFlags: ['--kubelet-preferred-address-types=InternalIP'],
  });
  const programs = await findPrograms(nodePrograms);
  const { kubeconfig } = controlPlane;
  await kubeScheduler({ program: programs['kube-scheduler'], folder, kubeconfig }).start();

  say('Starting containerd, kubelet and kube-proxy, and bringing the images to the node.');
  await containerd({ folder, cniFolder: cniFolder() ?? '', pauseImage: images.pause }).start();
  for (const name of ['pause', 'operator'] as const) {
    await ctr('images', 'import', archiveOf(folder, name));
  }
  await kubelet({ program: programs.kubelet, folder, kubeconfig, cgroup }).start();
  await kubeProxy({ program: programs['kube-proxy'], folder, kubeconfig }).start();
  const hosts = join(folder, 'hosts');
  await dnsmasq(folder, hosts).start();

  const cluster: Cluster = {
    controlPlane,
    async kubectl(args, input) {
      const { code, stdout, stderr } = await controlPlane.kubectlRun(args, input === undefined ? {} : { input });
      if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr.trim()}`);
      return stdout;
    },
    get: async (...args) => JSON.parse(await cluster.kubectl(['get', '--output=json', ...args])),
    async apply(...objects) {
      await cluster.kubectl(
        ['apply', '--filename=-'],
        JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
      );
    },
    async killContainer(containerID) {
      await ctr('tasks', 'kill', '--signal', 'SIGKILL', containerID.replace('containerd://', ''));
    },
    async nameService(name, namespace) {
      const service = [`service/${name}`, `--namespace=${namespace}`];
      const { spec } = await cluster.get<{ spec: { clusterIP: string } }>(...service);
      await nameAddress(hosts, `${name}.${namespace}.svc.${clusterDomain}`, spec.clusterIP);
    },
  };
  await cluster.kubectl(['wait', 'node', '--all', '--for=condition=Ready', '--timeout=90s']);
  await until('the default ServiceAccount is there', async () => {
    const { code } = await controlPlane.kubectlRun(['get', 'serviceaccount', 'default']);
    return code === 0;
  });
  return cluster;
}

async function nameAddress(hosts: string, host: string, address: string): Promise<void> {
  writeFileSync(join(hosts, host), `${address} ${host}\n`);
  const resolver = new Resolver();
  resolver.setServers([nodeAddress]);
  await until(`${host} resolves`, async () => (await resolver.resolve4(host)).includes(address));
}

async function ctr(...args: readonly string[]): Promise<void> {
  await run('ctr', ['--address', containerdSocket, '--namespace', 'k8s.io', ...args]);
}
