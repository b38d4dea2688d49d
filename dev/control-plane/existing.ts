import { existsSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { findPrograms } from './binaries.ts';
import type { ControlPlane, Restartable } from './control-plane.ts';
import { kubectlOf } from './kubectl.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** Names the kubeconfig of a server to use instead of starting one. Not KUBECONFIG, which may be a production cluster. */
export const kubeconfigVariable = 'CONTROL_PLANE_KUBECONFIG';

/** The server the user named; nothing is started, and nothing of it is stopped. */
export async function useExisting(file: string): Promise<ControlPlane> {
  const { kubectl } = await findPrograms(['kubectl'], { serversAreOurs: false });
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
  const complaint = `${kubeconfigVariable} is ${file}, `;
  // kubectl treats a missing file as an empty one.
  if (!existsSync(file)) throw new Error(`${complaint}which does not exist: set it to a kubeconfig, or unset it.`);
  const cluster = '.clusters[0].cluster';
  const output = `jsonpath={${cluster}.server} {${cluster}.certificate-authority-data}`;
  const { code, stdout, stderr } = await kubectlRun(['config', 'view', '--raw', '--minify', '--flatten', '-o', output]);
  if (code !== 0) throw new Error(`${complaint}which kubectl cannot use: ${stderr.trim()}`);
  const [url = '', certificateAuthority = ''] = stdout.split(' ');
  if (certificateAuthority === '') {
    throw new Error(`${complaint}whose current context has no certificate-authority: name one in it.`);
  }
  return { url, certificateAuthority: Buffer.from(certificateAuthority, 'base64') };
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
