import { existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { kubeconfigVariable } from '../control-plane/existing.ts';
import { stories, type StoryName } from './stories/all.ts';

export interface DemoOptions {
  readonly story: StoryName;
  readonly keep: boolean;
  /** Absolute. */
  readonly jsonFile?: string;
}

/** What is wrong with the command line, in one sentence. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const isStoryName = (name: string): name is StoryName => Object.hasOwn(stories, name);
const storyNames = Object.keys(stories).filter(isStoryName);
const anyOf = new Intl.ListFormat('en-GB', { type: 'disjunction' });

export const usage = `Usage: npm run demo -- [options]

  --story <name>  What happens. Default: rotation.
${storyNames.map((name) => `                    ${name.padEnd(14)}${stories[name].title}\n`).join('')}  --json <file>   Writes {signed, verified, rejected, keys: [{name, keyID, state}]} to the file.
  --keep          Leaves everything running after the summary, until Ctrl-C.
`;

/** @throws UsageError */
export function parseOptions(args: readonly string[], environment: NodeJS.ProcessEnv): DemoOptions {
  const options = { story: { type: 'string' }, json: { type: 'string' }, keep: { type: 'boolean' } } as const;
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true });
  const given = new Map<string, string | undefined>();
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    const written = token.kind === 'option' ? token.rawName : token.value;
    if (token.kind === 'positional' || !Object.hasOwn(options, token.name)) {
      throw new UsageError(`${written} is not an option of the demo. Its options are --story, --json and --keep.`);
    }
    if (token.name === 'keep' ? token.value !== undefined : !token.value) {
      throw new UsageError(`${written} ${token.name === 'keep' ? 'takes no value' : 'needs a value'}.`);
    }
    given.set(token.name, token.value);
  }
  if (environment[kubeconfigVariable]) {
    throw new UsageError(
      `The demo runs on a control plane of its own, never on a cluster: unset ${kubeconfigVariable}.`,
    );
  }
  const json = given.get('json');
  return {
    story: storyNamed(given.get('story') ?? 'rotation'),
    keep: given.has('keep'),
    ...(json === undefined ? {} : { jsonFile: writable(resolve(json)) }),
  };
}

function storyNamed(name: string): StoryName {
  if (!isStoryName(name)) throw new UsageError(`There is no story "${name}": choose ${anyOf.format(storyNames)}.`);
  return name;
}

/** Fails now rather than after a minute. */
function writable(file: string): string {
  const folder = dirname(file);
  if (!existsSync(folder))
    throw new UsageError(`--json ${file} cannot be written: the folder ${folder} does not exist.`);
  if (existsSync(file) && statSync(file).isDirectory())
    throw new UsageError(`--json ${file} is a folder: name a file.`);
  return file;
}
