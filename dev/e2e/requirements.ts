import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { findPrograms } from '../control-plane/binaries.ts';
import { nodePrograms, programs } from '../control-plane/modules.ts';
import { helmProgram } from '../helm/build.ts';
import { say } from './narrate.ts';
import { run } from './run.ts';

/** This machine cannot run a node; the message is one sentence that says what is missing. */
export class LeftOutError extends Error {
  override readonly name = 'LeftOutError';
}

/** What has to be on the PATH, and the Debian package that brings it. */
const packageOf: Readonly<Record<string, string>> = {
  containerd: 'containerd',
  ctr: 'containerd',
  runc: 'runc',
  buildah: 'buildah',
  dnsmasq: 'dnsmasq-base',
  ip: 'iproute2',
  iptables: 'iptables',
  mount: 'mount',
  unshare: 'util-linux',
  nsenter: 'util-linux',
};

const cniPackage = 'containernetworking-plugins';
const cniPlugins = ['ptp', 'host-local', 'portmap', 'loopback'];
const cniFolders = ['/usr/lib/cni', '/opt/cni/bin'];

/** The folder of the CNI plugins. */
export function cniFolder(): string | undefined {
  return cniFolders.find((folder) => cniPlugins.every((plugin) => existsSync(join(folder, plugin))));
}

/**
 * Checks that this machine can run a node: Linux, root, namespaces, the programs. Installs Debian's packages where it
 * may, and builds those of Kubernetes and Helm.
 *
 * @throws LeftOutError
 */
export async function meetRequirements(): Promise<void> {
  if (process.platform !== 'linux') throw new LeftOutError('a node runs on Linux only');
  if (process.getuid?.() !== 0)
    throw new LeftOutError('a node needs root; run it as root, in a virtual machine perhaps');
  await installPackages();
  await tryNamespaces();
  try {
    await findPrograms([...programs, ...nodePrograms]);
    await helmProgram();
  } catch (error) {
    throw new LeftOutError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

async function installPackages(): Promise<void> {
  const missing = missingPackages();
  if (missing.length === 0) return;
  if (!isOnPath('apt-get')) throw new LeftOutError(`these are missing: ${missing.join(', ')} (named as in Debian)`);
  say(`Installing ${missing.join(', ')} with apt-get.`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  try {
    await run('apt-get', ['update', '--quiet'], { env });
    await run('apt-get', ['install', '--quiet', '--yes', '--no-install-recommends', ...missing], { env });
  } catch {
    throw new LeftOutError(`apt-get could not install ${missing.join(', ')}; install them and try again`);
  }
  const absent = missingPackages();
  if (absent.length > 0) throw new LeftOutError(`${absent.join(', ')} did not bring the programs that are needed`);
}

function missingPackages(): string[] {
  const missing = Object.entries(packageOf).flatMap(([program, name]) => (isOnPath(program) ? [] : [name]));
  if (cniFolder() === undefined) missing.push(cniPackage);
  return [...new Set(missing)];
}

function isOnPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** In a mount namespace of its own, so nothing stays mounted. */
const attempt = `set -e
mount -t tmpfs tmpfs /run
mkdir /run/lower /run/upper /run/work /run/merged
mount -t overlay overlay -o lowerdir=/run/lower,upperdir=/run/upper,workdir=/run/work /run/merged
ip link set lo up
iptables -w -t nat -A OUTPUT -m comment --comment try -j ACCEPT`;

async function tryNamespaces(): Promise<void> {
  try {
    await run('unshare', ['--mount', '--net', '--pid', '--fork', '--mount-proc', 'sh', '-c', attempt]);
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n').at(-1) ?? '') : '';
    throw new LeftOutError(`this machine does not allow namespaces, overlay mounts or iptables (${reason})`);
  }
}
