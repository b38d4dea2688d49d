/**
 * `npm run control-plane` starts a control plane and keeps it until Ctrl-C;
 * `npm run control-plane -- --build-only` only makes sure that its programs are there.
 */
import { parseArgs } from 'node:util';
import { findPrograms } from './binaries.ts';
import { programs } from './modules.ts';
import { startControlPlane } from './start.ts';

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { 'build-only': { type: 'boolean', default: false } } });
  if (values['build-only']) {
    for (const path of Object.values(await findPrograms(programs))) console.log(path);
    return;
  }
  const controlPlane = await startControlPlane({ controllerManager: true });
  console.log(`Kubernetes API server at ${controlPlane.url}, logs in ${controlPlane.folder}. In another terminal:

  export KUBECONFIG=${controlPlane.kubeconfig}
  alias kubectl=${controlPlane.kubectl}
  kubectl get namespaces

Ctrl-C stops it and removes everything.`);
  await new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, resolve);
  });
  await controlPlane.stop();
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
