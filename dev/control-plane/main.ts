/**
 * `npm run control-plane` starts a control plane and keeps it until Ctrl-C; with `-- --build-only`, it only makes sure that its
 * programs exist. `npm run operator` also runs the operator on it (`--operator`).
 */
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { installOperator, type Operator, startOperator } from '../demo/operator.ts';
import { findPrograms } from './binaries.ts';
import type { ControlPlane } from './control-plane.ts';
import { programs } from './modules.ts';
import { startControlPlane } from './start.ts';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      'build-only': { type: 'boolean', default: false },
      operator: { type: 'boolean', default: false },
    },
  });
  if (values['build-only']) {
    for (const path of Object.values(await findPrograms(programs))) console.log(path);
    return;
  }
  const interrupted = new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, resolve);
  });
  // On standard error, because standard output says how to use what was started.
  console.error('Starting etcd and a Kubernetes API server, which takes up to a minute');
  const controlPlane = await startControlPlane({ controllerManager: true });
  try {
    const operator = values.operator ? await operatorOn(controlPlane) : undefined;
    console.log(howToUse(controlPlane, operator));
    await interrupted;
    await operator?.stop();
  } finally {
    await controlPlane.stop();
  }
}

async function operatorOn(controlPlane: ControlPlane): Promise<Operator> {
  console.error('Installing and starting the operator');
  await installOperator(controlPlane);
  return startOperator(controlPlane);
}

/** Lines that a shell can run, and text around them. */
function howToUse({ url, folder, kubeconfig, kubectl }: ControlPlane, operator: Operator | undefined): string {
  const exports = [
    `export KUBECONFIG=${kubeconfig}`,
    `export PATH=${dirname(kubectl)}:$PATH`,
    ...(operator
      ? [`export CONTROLLER=${operator.metricsAddress}`, `export JWKS=${operator.sidecarAdminAddress}`]
      : []),
  ];
  const serving = operator
    ? `The operator runs, with the lowest timing minimums. It serves keys at ${operator.url}.\n`
    : '';
  return `Kubernetes API server at ${url}, logs in ${folder}.
${serving}In another terminal:

${exports.map((line) => `  ${line}\n`).join('')}  kubectl get namespaces

Ctrl-C stops it and removes everything.`;
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
