/** `npm run demo`: a signing key's life on a real control plane, with the operator's real processes. */
import { writeFile } from 'node:fs/promises';
import { operatorName } from '../../src/api/names.ts';
import type { ControlPlane } from '../control-plane/control-plane.ts';
import { startControlPlane } from '../control-plane/start.ts';
import { perform } from './demo.ts';
import { createNarrator } from './narrator.ts';
import { installOperator, startOperator } from './operator.ts';
import { type DemoOptions, parseOptions, usage, UsageError } from './options.ts';
import { result, summary, timeline } from './report.ts';
import { stories } from './stories/all.ts';

/** 128 + SIGINT, as shells have it. */
const interruptedCode = 130;

async function main(args: readonly string[], interruption: AbortSignal): Promise<number> {
  if (args.includes('--help')) {
    process.stdout.write(usage);
    return 0;
  }
  const options = parseOptions(args, process.env);
  const cleanUp: (() => Promise<void>)[] = [];
  const interrupted = new Promise<number>((resolve) => {
    interruption.addEventListener('abort', () => resolve(interruptedCode));
  });
  try {
    const code = await Promise.race([tell(options, cleanUp, interruption), interrupted]);
    if (options.keep && !interruption.aborted) await interrupted;
    return code;
  } finally {
    for (const stop of cleanUp.toReversed()) await stop();
  }
}

/** Resolves with the exit code. What it started is stopped by `cleanUp`, last first. */
async function tell(
  { story: name, jsonFile, keep }: DemoOptions,
  cleanUp: (() => Promise<void>)[],
  signal: AbortSignal,
): Promise<number> {
  const narrator = createNarrator();
  const story = stories[name];
  narrator.print(`LTI key operator: ${story.title}, on a real Kubernetes API server.\n`);
  narrator.say('Starting etcd, kube-apiserver and kube-controller-manager.');
  const controlPlane = await startControlPlane({ controllerManager: true });
  cleanUp.push(() => controlPlane.stop());
  narrator.say('Installing the operator: CRDs, ServiceAccount, RBAC, admission policy.');
  await installOperator(controlPlane);
  narrator.say(`Starting its two processes: the controller, as ServiceAccount ${operatorName}, and the JWKS sidecar.`);
  const operator = await startOperator(controlPlane);
  cleanUp.push(() => operator.stop());

  const evidence = await perform(story, { controlPlane, operator, narrator, signal });
  narrator.print(`${timeline(evidence)}\n\n${summary(evidence)}\n`);
  if (jsonFile !== undefined) await writeFile(jsonFile, `${JSON.stringify(result(evidence), undefined, 2)}\n`);
  if (keep) narrator.print(howToUse(controlPlane));
  return evidence.tally.total('rejected') === 0 ? 0 : 1;
}

function howToUse({ kubeconfig, kubectl, folder }: ControlPlane): string {
  return `Everything keeps running. In another terminal:

  export KUBECONFIG=${kubeconfig}
  alias kubectl=${kubectl}
  kubectl get lti-all --namespace gradebook
  kubectl describe ltiregistration canvas --namespace gradebook

The operator's logs are controller.log and jwks.log in ${folder}.
Ctrl-C stops everything and removes it.`;
}

const interruption = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (interruption.signal.aborted) process.exit(interruptedCode);
    console.log('\nStopping.');
    interruption.abort();
  });
}
try {
  process.exitCode = await main(process.argv.slice(2), interruption.signal);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
// Interrupted work may still wait for something; the processes that it started end with this one.
if (interruption.signal.aborted) process.exit();
