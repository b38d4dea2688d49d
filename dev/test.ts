import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

/**
 * Runs the unit tests, which compute, in two processes, and then all others, which mostly wait, in four. Such a lane is a
 * mocha process; those with servers have a control plane each, so they cannot disturb each other, and the files of one
 * lane run one after another. The output of a lane is printed when it ends, and its failures again at the end of
 * everything, together with the slowest files. The last line sums up: `N passed, N failed`.
 */

interface Lane {
  readonly name: string;
  readonly config: string;
  readonly files: readonly string[];
}

const root = join(import.meta.dirname, '..');
const all = globSync('test/**/*.test.ts', { cwd: root }).toSorted();
const isUnit = (file: string): boolean => file.startsWith('test/unit/');
/** What takes about half of the time of all unit tests. */
const isLong = (file: string): boolean =>
  file.startsWith('test/unit/domain/model/') || file === 'test/unit/alerts.test.ts';

/** More at once would slow each of them down on two cores, and deadlines are harder to meet then. */
const serverLanes = 4;
/** Seconds that a file takes in its lane, as the run prints them, so that all lanes end at about the same time. */
const seconds: Readonly<Record<string, number>> = {
  'test/process/rights.test.ts': 130,
  'test/apiserver/admission-names.test.ts': 100,
  'test/apiserver/lifecycle.test.ts': 95,
  'test/apiserver/backup-restore.test.ts': 90,
  'test/apiserver/deletion.test.ts': 90,
  'test/apiserver/revocation.test.ts': 75,
  'test/apiserver/ownership.test.ts': 65,
  'test/apiserver/import.test.ts': 65,
  'test/apiserver/two-operators.test.ts': 65,
  'test/apiserver/random-registrations-recover.test.ts': 60,
  'test/process/jwks-hardening.test.ts': 50,
  'test/process/jwks-slow-clients.test.ts': 15,
  'test/apiserver/contradictory-specs.test.ts': 55,
  'test/process/getting-started.test.ts': 75,
  'test/process/alerts.test.ts': 70,
  'test/process/demo.test.ts': 50,
  'test/faults/crash-matrix.test.ts': 50,
  'test/process/jwks-slow-readers.test.ts': 45,
  'test/apiserver/refused-writes.test.ts': 50,
  'test/process/lifecycle.test.ts': 45,
  'test/process/upgrade.test.ts': 40,
  'test/apiserver/chart.test.ts': 40,
  'test/apiserver/rotation-windows.test.ts': 45,
  'test/apiserver/changed-issuer.test.ts': 40,
  'test/apiserver/replica-outage.test.ts': 40,
  'test/apiserver/gitops.test.ts': 40,
  'test/apiserver/deploy.test.ts': 35,
  'test/apiserver/periodic-reconcile.test.ts': 35,
  'test/apiserver/edits-before-deletion.test.ts': 35,
  'test/apiserver/bundle.test.ts': 25,
  'test/apiserver/ledger-damage.test.ts': 35,
  'test/apiserver/admission-policy.test.ts': 30,
  'test/process/monitoring.test.ts': 40,
  'test/process/reseal.test.ts': 30,
  'test/process/leader-election.test.ts': 30,
  'test/process/api-outage.test.ts': 30,
  'test/apiserver/random-registrations-accepted.test.ts': 25,
  'test/apiserver/recipient.test.ts': 25,
  'test/kms/operator.test.ts': 25,
  'test/apiserver/gitops-health.test.ts': 20,
  'test/apiserver/kubectl-lti-built.test.ts': 25,
  'test/apiserver/control-plane.test.ts': 22,
  'test/apiserver/one-of-two-namespaces-lost.test.ts': 35,
  'test/apiserver/reports.test.ts': 22,
  'test/apiserver/registration-fields.test.ts': 22,
  'test/process/start-up.test.ts': 18,
  'test/apiserver/kek-canary.test.ts': 17,
  'test/tools/python.test.ts': 20,
  'test/tools/node.test.ts': 20,
  'test/tools/first-token.test.ts': 17,
  'test/tools/debian.test.ts': 15,
  'test/tools/go.test.ts': 10,
};
const othersTake = 8;

/** The longest files first, each into the lane that has the least to do. */
function lanesWithServer(): Lane[] {
  const takes = (file: string): number => seconds[file] ?? othersTake;
  const lanes = Array.from({ length: serverLanes }, () => ({ files: [] as string[], takes: 0 }));
  const files = all.filter((file) => !isUnit(file));
  for (const file of files.toSorted((a, b) => takes(b) - takes(a))) {
    const lane = lanes.reduce((least, each) => (each.takes < least.takes ? each : least));
    lane.files.push(file);
    lane.takes += takes(file);
  }
  return lanes.map((lane, index) => ({
    name: `servers ${index + 1}`,
    config: '.mocharc.json',
    files: lane.files.toSorted(),
  }));
}

const unitConfig = 'test/unit/.mocharc.json';
const unitLanes: readonly Lane[] = [
  { name: 'unit: long', config: unitConfig, files: all.filter(isLong) },
  { name: 'unit', config: unitConfig, files: all.filter((file) => isUnit(file) && !isLong(file)) },
];

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  /** What mocha printed about the tests that failed, or the end of its output if it printed nothing about them. */
  readonly failures: string;
  readonly files: readonly { readonly file: string; readonly seconds: number }[];
}

function run({ name, config, files }: Lane): Promise<Outcome> {
  const began = performance.now();
  console.log(`${name}: ${files.length} files`);
  const mocha = spawn(
    process.execPath,
    [join(root, 'node_modules/mocha/bin/mocha.js'), '--exit', '--config', config, ...files],
    {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const output: Buffer[] = [];
  for (const stream of [mocha.stdout, mocha.stderr]) stream.on('data', (chunk: Buffer) => output.push(chunk));
  return new Promise((resolve) => {
    mocha.on('close', (code) => {
      const text = Buffer.concat(output).toString();
      const [, passed = '0', failed = '0'] = /^(\d+) passed, (\d+) failed$/m.exec(text) ?? [];
      const took = ((performance.now() - began) / 1000).toFixed(0);
      console.log(`\n======== ${name}, ${took} s ========\n${text.replace(/^\d+ passed, \d+ failed\n/m, '')}`);
      // A lane that ended without its closing line, or with an error that no test counts, has failed as well.
      const outcome = { passed: Number(passed), failed: Math.max(Number(failed), code === 0 ? 0 : 1) };
      const summary = /^ *\d+ failing$/m.exec(plain(text))?.index ?? -4000;
      resolve({
        ...outcome,
        failures: outcome.failed === 0 ? '' : `${name}: ${plain(text).slice(summary).trim()}\n\n`,
        files: [...text.matchAll(/^(\d+) s (test\/\S+)$/gm)].map(([, s, file = '']) => ({ file, seconds: Number(s) })),
      });
    });
  });
}

const plain = (text: string): string => stripVTControlCharacters(text);

const outcomes = [...(await Promise.all(unitLanes.map(run))), ...(await Promise.all(lanesWithServer().map(run)))];
const slowest = outcomes.flatMap(({ files }) => files).toSorted((a, b) => b.seconds - a.seconds);
console.log(
  `Slowest files:\n${slowest
    .slice(0, 20)
    .map((each) => `${each.seconds} s ${each.file}\n`)
    .join('')}`,
);
const sum = (of: 'passed' | 'failed'): number => outcomes.reduce((total, outcome) => total + outcome[of], 0);
console.log(`${outcomes.map(({ failures }) => failures).join('')}${sum('passed')} passed, ${sum('failed')} failed`);
process.exitCode = sum('failed') === 0 ? 0 : 1;
