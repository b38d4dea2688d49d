import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { findPrograms } from './binaries.ts';
import type { ControlPlane, Restartable } from './control-plane.ts';
import { kubectlOf } from './kubectl.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** Names the kubeconfig of a server to use instead of starting one. Not KUBECONFIG: that may be anybody's production. */
export const kubeconfigVariable = 'CONTROL_PLANE_KUBECONFIG';

/** The server the user named; nothing is started, and nothing of it is stopped. */
export async function useExisting(file: string): Promise<ControlPlane> {
  const { kubectl } = await findPrograms(['kubectl'], process.env, false);
  const folder = temporaryFolder();
  try {
    const kubeconfig = resolve(file);
    const caFile = join(folder.path, 'ca.crt');
    const withoutUrl = kubectlOf(kubectl, { kubeconfig, folder: folder.path, url: '', caFile });
    const { url, certificateAuthority } = await readCluster(kubeconfig, withoutUrl.kubectlRun);
    writeFileSync(caFile, certificateAuthority);
    return {
      kubeconfig,
      url,
      caFile,
      folder: folder.path,
      ...kubectlOf(kubectl, { kubeconfig, folder: folder.path, url, caFile }),
      apiServer: notOurs('kube-apiserver'),
      etcd: notOurs('etcd'),
      controllerManager: notOurs('kube-controller-manager'),
      stop: () => folder.remove(),
    };
  } catch (error) {
    await folder.remove();
    throw error;
  }
}

async function readCluster(
  file: string,
  kubectlRun: ControlPlane['kubectlRun'],
): Promise<{ url: string; certificateAuthority: Buffer }> {
  const answer = await kubectlRun(['config', 'view', '--raw', '--minify', '--flatten', '--output=json']);
  if (answer.code !== 0) {
    throw new Error(`${kubeconfigVariable} is ${file}, which kubectl cannot use: ${answer.stderr.trim()}`);
  }
  const view = JSON.parse(answer.stdout) as {
    clusters: { cluster: { server: string; 'certificate-authority-data'?: string } }[];
  };
  const cluster = view.clusters[0]?.cluster;
  if (cluster?.['certificate-authority-data'] === undefined) {
    throw new Error(`${kubeconfigVariable} is ${file}, whose current context names no certificate-authority: add it.`);
  }
  return { url: cluster.server, certificateAuthority: Buffer.from(cluster['certificate-authority-data'], 'base64') };
}

function notOurs(name: string): Restartable {
  const refuse = (): Promise<never> =>
    Promise.reject(
      new Error(
        `${name} belongs to the server that ${kubeconfigVariable} names: unset it for tests that stop servers.`,
      ),
    );
  return { kill: refuse, start: refuse };
}
