import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { parseOptions } from '../../dev/release/options.ts';

interface Workflow {
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}

interface Job {
  readonly permissions?: Readonly<Record<string, string>>;
  readonly steps: readonly { readonly uses?: string; readonly run?: string }[];
}

const root = join(import.meta.dirname, '../..');
const folder = join(root, '.github/workflows');
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>;
};

for (const file of readdirSync(folder)) {
  const text = readFileSync(join(folder, file), 'utf8');
  const workflow = parse(text) as Workflow;
  const jobs = Object.values(workflow.jobs);
  const steps = jobs.flatMap((job) => job.steps);

  describe(`.github/workflows/${file}`, () => {
    it('The workflow runs only npm scripts and files that exist', () => {
      const commands = steps.flatMap(({ run = '' }) => run.split('\n'));
      const named = commands.flatMap((line) => /^npm run (\S+)/.exec(line)?.[1] ?? []);
      expect(named.length).to.be.greaterThan(0);
      expect(named.filter((name) => scripts[name] === undefined)).to.deep.equal([]);
      for (const path of commands.filter((line) => line.startsWith('.ci/'))) {
        expect(statSync(join(root, path)).mode & 0o111, path).not.to.equal(0);
      }
    });

    it('Every action is pinned by commit, with its version in a comment', () => {
      const uses = text.match(/(?<=uses: ).*/g) ?? [];
      expect(uses.length).to.be.greaterThan(2);
      expect(uses.filter((each) => !/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(each))).to.deep.equal([]);
    });

    it('Without a permission of its own, a job can read the code at most', () => {
      expect(workflow.permissions).to.satisfy(
        (granted: object) => JSON.stringify(granted) === '{}' || JSON.stringify(granted) === '{"contents":"read"}',
      );
    });

    it('No expression of GitHub is expanded inside a command', () => {
      expect(steps.filter(({ run = '' }) => run.includes('${{'))).to.deep.equal([]);
    });
  });
}

describe('The release workflow', () => {
  const { jobs } = parse(readFileSync(join(folder, 'release.yaml'), 'utf8')) as Workflow;

  it('It may write the release and its attestation, and nothing else', () => {
    expect(Object.entries(jobs).map(([name, job]) => [name, job.permissions])).to.deep.equal([
      ['release', { contents: 'write', 'id-token': 'write', attestations: 'write' }],
    ]);
  });

  it('It gives options that npm run release takes', () => {
    const command = jobs['release']?.steps.map(({ run = '' }) => run).find((run) => run.startsWith('npm run release'));
    const args = (command ?? '').split(' -- ')[1]?.match(/--\S+/g) ?? [];
    const digest = `sha256:${'0'.repeat(64)}`;
    const given = args.map((each) => each.replace(/"\$\w+_IMAGE"/, `a@${digest}`));
    expect(parseOptions(given, root)).to.deep.include({ withoutImage: false, allowChanges: false });
    expect(parseOptions(given, root)?.baseImages).not.to.equal(undefined);
  });
});
