import { mkdirSync, writeFileSync } from 'node:fs';
import { connect, type TcpNetConnectOpts, type IpcNetConnectOpts } from 'node:net';
import { join } from 'node:path';
import type { Restartable } from '../../control-plane/control-plane.ts';
import { server } from '../../control-plane/server.ts';
import { clusterDomain, nodeAddress, podSubnet } from './network.ts';

/** The command line of each program of the node; everything it writes is under `folder` or in a folder of ours. */

export const nodeName = 'node';
export const containerdSocket = '/run/containerd/containerd.sock';

export interface ContainerdOptions {
  readonly folder: string;
  readonly cniFolder: string;
  readonly pauseImage: string;
}

export function containerd({ folder, cniFolder, pauseImage }: ContainerdOptions): Restartable {
  const networks = join(folder, 'cni');
  mkdirSync(networks);
  // Routed, not bridged: Services need nothing of the kernel's bridge then.
  const network = {
    cniVersion: '0.4.0',
    name: 'pods',
    plugins: [
      {
        type: 'ptp',
        ipam: {
          type: 'host-local',
          dataDir: join(folder, 'addresses'),
          ranges: [[{ subnet: podSubnet }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
    ],
  };
  writeFileSync(join(networks, '10-pods.conflist'), JSON.stringify(network));
  const config = join(folder, 'containerd.toml');
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  writeFileSync(
    config,
    `version = 2
root = "${join(folder, 'containerd')}"
state = "/run/containerd"
[grpc]
  address = "${containerdSocket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${join(folder, 'opt')}"
[${cri}]
  sandbox_image = "${pauseImage}"
  # Who may not lower it, cannot run the pause container otherwise.
  restrict_oom_score_adj = true
  [${cri}.cni]
    bin_dir = "${cniFolder}"
    conf_dir = "${networks}"
  [${cri}.containerd]
    snapshotter = "overlayfs"
`,
  );
  const logFile = join(folder, 'containerd.log');
  const isReady = (): Promise<boolean> => accepts({ path: containerdSocket });
  return server({ name: 'containerd', program: 'containerd', args: ['--config', config], logFile, isReady });
}

export interface NodeProgram {
  readonly program: string;
  readonly folder: string;
  readonly kubeconfig: string;
}

export function kubelet({
  program,
  folder,
  kubeconfig,
  cgroup,
}: NodeProgram & { readonly cgroup: string }): Restartable {
  const config = configFile(folder, 'kubelet', {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    containerRuntimeEndpoint: `unix://${containerdSocket}`,
    // Only the API server is in this network, and Pods of ours.
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: cgroup,
    enforceNodeAllocatable: [],
    failSwapOn: false,
    // How full the disk is, is none of our business.
    evictionHard: { 'memory.available': '0%', 'nodefs.available': '0%', 'imagefs.available': '0%' },
    imageGCHighThresholdPercent: 100,
    volumePluginDir: join(folder, 'volume-plugins'),
    podLogsDir: join(folder, 'pod-logs'),
    resolvConf: '',
    clusterDNS: [nodeAddress],
    clusterDomain,
    oomScoreAdj: 0,
    // How soon a mounted Secret follows; a minute by default.
    syncFrequency: '10s',
  });
  const args = [
    `--config=${config}`,
    `--kubeconfig=${kubeconfig}`,
    `--root-dir=${join(folder, 'kubelet')}`,
    `--cert-dir=${join(folder, 'kubelet-certificates')}`,
    `--hostname-override=${nodeName}`,
    `--node-ip=${nodeAddress}`,
  ];
  const isReady = (): Promise<boolean> => accepts({ host: nodeAddress, port: 10250 });
  return server({ name: 'kubelet', program, args, logFile: join(folder, 'kubelet.log'), isReady });
}

export function kubeScheduler({ program, folder, kubeconfig }: NodeProgram): Restartable {
  const args = [`--kubeconfig=${kubeconfig}`, '--leader-elect=false', '--bind-address=127.0.0.1'];
  const isReady = (): Promise<boolean> => accepts({ host: '127.0.0.1', port: 10259 });
  return server({ name: 'kube-scheduler', program, args, logFile: join(folder, 'kube-scheduler.log'), isReady });
}

export function kubeProxy({ program, folder, kubeconfig }: NodeProgram): Restartable {
  const config = configFile(folder, 'kube-proxy', {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    clientConnection: { kubeconfig },
    mode: 'iptables',
    clusterCIDR: podSubnet,
    hostnameOverride: nodeName,
    oomScoreAdj: 0,
    // Left as they are: some of these are the whole machine's.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  });
  const isReady = (): Promise<boolean> => accepts({ host: '127.0.0.1', port: 10256 });
  const args = [`--config=${config}`];
  return server({ name: 'kube-proxy', program, args, logFile: join(folder, 'kube-proxy.log'), isReady });
}

/** The DNS of the cluster. It reads each file that appears in the folder `hosts`. */
export function dnsmasq(folder: string, hosts: string): Restartable {
  mkdirSync(hosts);
  const args = [
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--pid-file',
    '--user=root',
    '--no-resolv',
    '--no-hosts',
    `--hostsdir=${hosts}`,
    `--local=/${clusterDomain}/`,
    `--listen-address=${nodeAddress}`,
    '--bind-interfaces',
    '--log-facility=-',
  ];
  const isReady = (): Promise<boolean> => accepts({ host: nodeAddress, port: 53 });
  return server({ name: 'dnsmasq', program: 'dnsmasq', args, logFile: join(folder, 'dnsmasq.log'), isReady });
}

function configFile(folder: string, name: string, config: object): string {
  const file = join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(config, undefined, 2));
  return file;
}

/** Whether something listens there. */
function accepts(to: TcpNetConnectOpts | IpcNetConnectOpts): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(to);
    socket.on('connect', () => socket.end(() => resolve(true)));
    socket.on('error', () => resolve(false));
  });
}
