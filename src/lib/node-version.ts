/** The oldest major version of Node.js that the commands run on, as `engines` in package.json says. */
export const oldestNode = 24;

/**
 * Why a command cannot run, in one sentence; `undefined` if it can. `version` is as in `process.version`. An older Node fails while it
 * loads what the command imports, so entry points check this first.
 */
export function nodeProblem(command: string, version: string, alternative: string): string | undefined {
  const [, major] = /^v(\d+)\./.exec(version) ?? [];
  if (Number(major) >= oldestNode) return undefined;
  return `${command} needs Node.js ${oldestNode} or newer, this is ${version}: use a newer Node or ${alternative}`;
}
