import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

/**
 * Runs the unit tests, which compute, and then all others in a few lanes side by side, for those wait more than they
 * compute. A lane is a mocha process with a control plane of its own, so lanes cannot disturb each other; files of one
 * lane run one after another. What a lane prints is shown when it ends, and its failures once more at the very end. The
 * last line sums up: `N passed, N failed`.
 */

interface Lane {
  readonly name: string;
  readonly config: string;
  readonly files: readonly string[];
}

const root = join(import.meta.dirname, '..');
const all = globSync('test/**/*.test.ts', { cwd: root }).toSorted();
const unit = (file: string): boolean => file.startsWith('test/unit/');
/** The longest files, so that they end up in different lanes; whatever is not named is in a lane of its own. */
const chosen: Readonly<Record<string, readonly string[]>> = {
  'operator 1': ['apiserver/deletion', 'apiserver/import', 'apiserver/kek'],
  'operator 2': ['apiserver/lifecycle', 'apiserver/races', 'apiserver/windows'],
  'operator 3': ['apiserver/ownership', 'apiserver/ledger-damage', 'apiserver/recipient', 'apiserver/contradictions'],
  'operator 4': ['apiserver/refused-writes', 'apiserver/lost-words', 'apiserver/told'],
  'operator 5': ['apiserver/revocation', 'apiserver/issuer', 'apiserver/looks', 'apiserver/one-namespace'],
  processes: ['process/lifecycle', 'process/leader-election', 'process/api-outage', 'process/demo'],
  crashes: ['faults/', 'secrets', 'process/reseal', 'process/start-up', 'process/jwks-hardening'],
};
const unitTests: Lane = { name: 'unit', config: 'test/unit/.mocharc.json', files: all.filter(unit) };

function lanesWithServer(): Lane[] {
  const named = Object.entries(chosen).map(([name, beginnings]) => ({
    name,
    config: '.mocharc.json',
    files: all.filter((file) => beginnings.some((beginning) => file.startsWith(`test/${beginning}`))),
  }));
  const taken = new Set(named.flatMap(({ files }) => files));
  // One of the longest; what starts last should be short.
  return [
    { name: 'API', config: '.mocharc.json', files: all.filter((file) => !taken.has(file) && !unit(file)) },
    ...named,
  ];
}

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  /** What mocha printed about the tests that failed; the whole output's end, if it did not come to that. */
  readonly failures: string;
}

function run({ name, config, files }: Lane): Promise<Outcome> {
  const began = performance.now();
  console.log(`${name}: ${files.length} files`);
  const mocha = spawn(process.execPath, [join(root, 'node_modules/mocha/bin/mocha.js'), '--config', config, ...files], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output: Buffer[] = [];
  for (const stream of [mocha.stdout, mocha.stderr]) stream.on('data', (chunk: Buffer) => output.push(chunk));
  return new Promise((resolve) => {
    mocha.on('close', (code) => {
      const text = Buffer.concat(output).toString();
      const [, passed = '0', failed = '0'] = /^(\d+) passed, (\d+) failed$/m.exec(text) ?? [];
      const seconds = ((performance.now() - began) / 1000).toFixed(0);
      console.log(`\n======== ${name}, ${seconds} s ========\n${text.replace(/^\d+ passed, \d+ failed\n/m, '')}`);
      // A lane that ended without its closing line, or with an error that no test counts, has failed as well.
      const outcome = { passed: Number(passed), failed: Math.max(Number(failed), code === 0 ? 0 : 1) };
      const summary = /^ *\d+ failing$/m.exec(plain(text))?.index ?? -4000;
      resolve({
        ...outcome,
        failures: outcome.failed === 0 ? '' : `${name}: ${plain(text).slice(summary).trim()}\n\n`,
      });
    });
  });
}

const plain = (text: string): string => stripVTControlCharacters(text);

/** More at once would only make each of them slower, and waiting for deadlines less patient than they are. */
const lanesAtOnce = 4;

async function runLanes(): Promise<readonly Outcome[]> {
  const outcomes = [await run(unitTests)];
  const waiting = lanesWithServer();
  const work = async (): Promise<void> => {
    for (let lane = waiting.shift(); lane; lane = waiting.shift()) outcomes.push(await run(lane));
  };
  await Promise.all(Array.from({ length: lanesAtOnce }, work));
  return outcomes;
}

const outcomes = await runLanes();
const sum = (of: 'passed' | 'failed'): number => outcomes.reduce((total, outcome) => total + outcome[of], 0);
console.log(`${outcomes.map(({ failures }) => failures).join('')}${sum('passed')} passed, ${sum('failed')} failed`);
process.exitCode = sum('failed') === 0 ? 0 : 1;
