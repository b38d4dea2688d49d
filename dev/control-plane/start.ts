import { join } from 'node:path';
import { findPrograms } from './binaries.ts';
import type { ControlPlane } from './control-plane.ts';
import { kubeconfigVariable, useExisting } from './existing.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { kubectlOf } from './kubectl.ts';
import type { ControlPlaneProgram } from './modules.ts';
import { freePorts } from './ports.ts';
import { apiServer, controllerManager, controllersWithoutNodes, etcdServer } from './servers.ts';
import { temporaryFolder, type TemporaryFolder } from './temporary-folder.ts';

export interface ControlPlaneOptions {
  /** Also run kube-controller-manager: garbage collection, namespace deletion, default ServiceAccounts. */
  readonly controllerManager?: boolean;
  /** Which controllers that runs; without it, those that a namespace without Pods needs. */
  readonly controllers?: readonly string[];
  /** An address of this machine that Pods can reach, for the API server to listen on instead of loopback. */
  readonly address?: string;
  readonly auditLog?: boolean;
  readonly extraApiServerFlags?: readonly string[];
}

/**
 * A control plane on loopback with RBAC on, ready to use. It ends with this process, however that ends, and keeps this
 * process alive until `stop()`.
 *
 * If `CONTROL_PLANE_KUBECONFIG` names a kubeconfig, its server is used and nothing is started; the options then do
 * nothing. Otherwise the programs are found or built as binaries.ts says.
 *
 * @throws Error that says what is missing, or which server did not start with the end of its log
 */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const named = process.env[kubeconfigVariable];
  if (named !== undefined && named !== '') return useExisting(named);

  const programs = await findPrograms([
    'etcd',
    'kube-apiserver',
    'kubectl',
    ...(options.controllerManager === true ? (['kube-controller-manager'] as const) : []),
  ]);
  const folder = temporaryFolder();
  try {
    return await startIn(folder, programs, options);
  } catch (error) {
    await folder.remove();
    throw error;
  }
}

async function startIn(
  folder: TemporaryFolder,
  programs: Readonly<Record<ControlPlaneProgram, string>>,
  options: ControlPlaneOptions,
): Promise<ControlPlane> {
  const [etcdPort = 0, apiPort = 0, managerPort = 0] = await freePorts(3);
  const auditLogFile = options.auditLog === true ? join(folder.path, 'audit.log') : undefined;

  const etcd = etcdServer(programs.etcd, folder.path, etcdPort);
  const api = apiServer({
    program: programs['kube-apiserver'],
    folder: folder.path,
    port: apiPort,
    etcdUrl: etcd.url,
    address: options.address,
    auditLogFile,
    extraFlags: options.extraApiServerFlags ?? [],
  });
  const { url, caFile } = api;
  const kubeconfigFile = join(folder.path, 'admin.kubeconfig');
  const kubeconfig = writeKubeconfig(kubeconfigFile, { url, caFile, user: 'admin', token: api.adminToken });
  const manager =
    options.controllerManager === true
      ? controllerManager({
          program: programs['kube-controller-manager'],
          folder: folder.path,
          port: managerPort,
          kubeconfig,
          controllers: options.controllers ?? controllersWithoutNodes,
          caFile,
        })
      : undefined;

  const servers = [manager, api, etcd].filter((server) => server !== undefined);
  const killAll = (): Promise<unknown> => Promise.all(servers.map((server) => server.kill()));
  try {
    // The API server waits for etcd by itself; kube-controller-manager gives up on an API server that is not there.
    await Promise.all([etcd.start(), api.start()]);
    await manager?.start();
  } catch (error) {
    await killAll();
    throw error;
  }

  return {
    kubeconfig,
    url,
    caFile,
    folder: folder.path,
    ...(auditLogFile !== undefined && { auditLogFile }),
    ...kubectlOf(programs.kubectl, { kubeconfig, folder: folder.path, url, caFile }),
    apiServer: api,
    etcd,
    ...(manager !== undefined && { controllerManager: manager }),
    async stop() {
      await killAll();
      await folder.remove();
    },
  };
}
