/**
 * `npm run e2e`: the shipped image, chart and manifests on a real node. Everything runs in namespaces of its own; nothing of
 * this machine changes but the packages that are installed. Exit codes: 0 all is well, 1 something failed, 3 this
 * machine cannot run it; a sentence on standard error says why.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { temporaryFolder } from '../control-plane/temporary-folder.ts';
import { controlGroup } from './cgroups.ts';
import { startedVariable } from './narrate.ts';
import { cgroupVariable, folderVariable } from './paths.ts';
import { LeftOutError, meetRequirements } from './requirements.ts';
import { startSandbox } from './sandbox.ts';

const leftOutCode = 3;
/** 128 + SIGINT, as shells have it. */
const interruptedCode = 130;

const usage = `Usage: npm run e2e [-- --keep]

  --keep   leave everything running until Ctrl-C, and say how to look around
`;

async function main(interruption: AbortSignal): Promise<number> {
  const { values } = parseArgs({ options: { keep: { type: 'boolean' }, help: { type: 'boolean' } } });
  if (values.help === true) {
    process.stdout.write(usage);
    return 0;
  }
  process.env[startedVariable] = String(Date.now());
  await meetRequirements();

  const cgroup = controlGroup();
  const folder = temporaryFolder();
  const env = { ...process.env, TMPDIR: folder.path, [folderVariable]: folder.path, [cgroupVariable]: cgroup.path };
  const steps = [
    { args: [join(import.meta.dirname, 'build-images.ts')], ownNetwork: false },
    { args: [join(import.meta.dirname, 'node-run.ts'), ...(values.keep === true ? ['--keep'] : [])], ownNetwork: true },
  ];
  try {
    for (const step of steps) {
      if (interruption.aborted) return interruptedCode;
      const sandbox = startSandbox({ ...step, env });
      const stop = (): void => void sandbox.stop();
      interruption.addEventListener('abort', stop);
      const code = await sandbox.ended;
      interruption.removeEventListener('abort', stop);
      if (interruption.aborted) return interruptedCode;
      if (code !== 0) return code;
    }
    return 0;
  } finally {
    await Promise.all([folder.remove(), cgroup.remove()]);
  }
}

const interruption = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    console.log('\nStopping.');
    interruption.abort();
  });
}
try {
  process.exitCode = await main(interruption.signal);
} catch (error) {
  const leftOut = error instanceof LeftOutError;
  const message = error instanceof Error ? error.message : String(error);
  console.error(leftOut ? `The end-to-end run was left out: ${message.replace(/\.$/, '')}.` : message);
  process.exitCode = leftOut ? leftOutCode : 1;
}
