/** In a sandbox with a network of its own: a cluster, and the scenes on it in their order. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startCluster, type Cluster } from './cluster/cluster.ts';
import { hideTheMachine, hideTunables } from './mounts.ts';
import { say } from './narrate.ts';
import { cgroupVariable, folderVariable, given } from './paths.ts';
import { continuesWith, liveWithChart } from './scenes/chart.ts';
import { crashControllers, moveToPublishers } from './scenes/crashing-controllers.ts';
import { install } from './scenes/install.ts';
import { kekIn } from './scenes/kek.ts';
import { loseContainers, loseServer } from './scenes/losses.ts';
import { rollUnderLoad } from './scenes/rolling-restart.ts';
import { rotateWithoutLeader } from './scenes/rotation.ts';
import { startTool } from './scenes/tool.ts';

async function main(): Promise<void> {
  const folder = join(given(folderVariable), 'node');
  mkdirSync(folder);
  await hideTheMachine(folder);
  await hideTunables(folder);
  const cluster = await startCluster(given(folderVariable), given(cgroupVariable));
  if (process.argv.includes('--keep')) console.log(howToLookAround(cluster));
  try {
    await play(cluster, folder);
    say('The end-to-end run passed.');
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    console.error(await explanation(cluster));
    process.exitCode = 1;
  }
}

async function play(cluster: Cluster, folder: string): Promise<void> {
  const createKek = kekIn(cluster, folder);
  const left = await liveWithChart(cluster, folder, createKek);
  const operator = await install(cluster, folder, createKek);
  const tool = await startTool(cluster, operator);
  await operator.accelerate();
  await continuesWith(cluster, operator, left);
  await rotateWithoutLeader(cluster, operator, tool);
  await loseContainers(cluster, operator, tool);
  await loseServer(cluster, operator);
  await rollUnderLoad(cluster, operator);
  await crashControllers(cluster, operator);
  await moveToPublishers(cluster, operator);
  await tool.check();
}

/** What a person would ask first. */
async function explanation({ controlPlane }: Cluster): Promise<string> {
  const questions = [
    ['get', 'pods,lti', '--all-namespaces', '--output=wide'],
    ['get', 'events', '--all-namespaces', '--field-selector=type=Warning'],
    ...['keys-system', 'lti-key-operator'].map((namespace) => [
      'logs',
      `--namespace=${namespace}`,
      '--selector=app.kubernetes.io/name=lti-key-operator',
      '--all-containers',
    ]),
  ];
  const answers = await Promise.all(questions.map((args) => controlPlane.kubectlRun(args)));
  return answers.map(({ stdout, stderr }) => `${stdout}${stderr}`).join('\n');
}

function howToLookAround({ controlPlane: { kubectl, kubeconfig } }: Cluster): string {
  return `
Everything keeps running until Ctrl-C. To look around, in another terminal:

  nsenter --all --target $(pgrep --full --oldest dev/e2e/node-run.ts) env KUBECONFIG=${kubeconfig} PATH=$PATH:${kubectl.replace(/\/kubectl$/, '')} sh
`;
}

await main();
if (process.argv.includes('--keep')) await new Promise((resolve) => setTimeout(resolve, 2 ** 31 - 1));
// Everything that still runs ends with this process.
process.exit();
