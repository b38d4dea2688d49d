import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The programs of a control plane, in the order they are built. */
export const programs = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kubectl'] as const;
export type ControlPlaneProgram = (typeof programs)[number];
/** What runs Pods besides; built for the end-to-end run alone. */
export const nodePrograms = ['kube-scheduler', 'kubelet', 'kube-proxy'] as const;
export type Program = ControlPlaneProgram | (typeof nodePrograms)[number];

/** The arguments of `go build` for one program; all pinned versions are in the Go modules beside this file. */
export interface BuildPlan {
  readonly folder: string;
  readonly package: string;
  readonly version: string;
  readonly ldflags: string;
}

export interface ControlPlaneModules {
  /** The newest `go` line of the modules, as `1.26.0`. */
  readonly goVersion: string;
  readonly plans: Readonly<Record<Program, BuildPlan>>;
  /** Changes with any module file, build flag or platform; names the cache folder. */
  readonly fingerprint: string;
}

export const goBuildFlags = ['-trimpath'] as const;
export const goBuildEnvironment = { CGO_ENABLED: '0', GOWORK: 'off' } as const;

/** The folders of the Go modules of Kubernetes, oldest supported version first. The last one is what everything else runs against. */
export const kubernetesModules = ['kubernetes-1.32', 'kubernetes'] as const;
type KubernetesModule = (typeof kubernetesModules)[number];

export function readModules(
  root: string = import.meta.dirname,
  kubernetesModule: KubernetesModule = 'kubernetes',
): ControlPlaneModules {
  const kubernetes = join(root, kubernetesModule);
  const etcd = join(root, 'etcd');
  const files = [kubernetes, etcd].flatMap((folder) => ['go.mod', 'go.sum'].map((file) => join(folder, file)));
  const texts = files.map((file) => readFileSync(file, 'utf8'));
  const [kubernetesMod = '', , etcdMod = ''] = texts;

  const version = requiredVersion(kubernetesMod, 'k8s.io/kubernetes');
  const stripped = '-s -w';
  const plan = (name: string): BuildPlan => ({
    folder: kubernetes,
    package: `k8s.io/kubernetes/cmd/${name}`,
    version,
    ldflags: `${stripped} ${versionStamps(version)}`,
  });
  const plans = {
    etcd: {
      folder: etcd,
      package: 'go.etcd.io/etcd/server/v3',
      version: requiredVersion(etcdMod, 'go.etcd.io/etcd/server/v3'),
      ldflags: stripped,
    },
    'kube-apiserver': plan('kube-apiserver'),
    'kube-controller-manager': plan('kube-controller-manager'),
    kubectl: plan('kubectl'),
    'kube-scheduler': plan('kube-scheduler'),
    kubelet: plan('kubelet'),
    'kube-proxy': plan('kube-proxy'),
  };

  const hash = createHash('sha256');
  for (const text of texts) hash.update(text).update('\0');
  for (const { ldflags } of Object.values(plans)) hash.update(ldflags).update('\0');
  hash.update(JSON.stringify([goBuildFlags, goBuildEnvironment, process.platform, process.arch]));

  const goVersion = [kubernetesMod, etcdMod].map(goLine).toSorted(compareVersions).at(-1) ?? '';
  return { goVersion, plans, fingerprint: hash.digest('hex').slice(0, 16) };
}

/** Without these, kubectl and Helm cannot parse the version that the server reports. */
function versionStamps(version: string): string {
  const [major = '', minor = ''] = version.slice(1).split('.');
  const stamps = { gitVersion: version, gitMajor: major, gitMinor: minor, gitTreeState: 'clean' };
  return Object.entries(stamps)
    .map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`)
    .join(' ');
}

function requiredVersion(goMod: string, module: string): string {
  const lines = goMod.split('\n').map((text) =>
    text
      .trim()
      .replace(/^require /, '')
      .split(' '),
  );
  const version = lines.find(([path, required]) => path === module && required?.startsWith('v'))?.[1];
  if (version === undefined) throw new Error(`go.mod does not require ${module}`);
  return version;
}

function goLine(goMod: string): string {
  return /^go (\S+)/m.exec(goMod)?.[1] ?? '0';
}

/** Orders `1.9`, `1.26.0`, `1.26.8` by their numbers. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split('.').map((part) => Number.parseInt(part, 10) || 0));
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
