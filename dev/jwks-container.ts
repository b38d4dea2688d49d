import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';

interface Container {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly resources: { readonly limits: { readonly memory: string } };
}

/** Its limit of memory in the Deployment. */
export function jwksMemoryMiB(): number {
  return Number(/^(\d+)Mi$/.exec(jwksManifest().resources.limits.memory)?.[1]);
}

/** What production runs; `npm run build` makes it. */
const program = join(import.meta.dirname, '../dist/lti-key-operator.js');

/**
 * How the jwks container of the Deployment starts Node, with the paths of this machine: what comes before the command's
 * own arguments, and the environment. So tests and measurements have the permissions and limits of production.
 */
export function jwksContainer(
  publishDir: string,
  readable: readonly string[] = [],
): { readonly nodeArguments: readonly string[]; readonly env: Readonly<Record<string, string>> } {
  const container = jwksManifest();
  const [node, ...rest] = container.command;
  if (node !== 'node') throw new Error('the container jwks does not start node');
  const here: Readonly<Record<string, string>> = {
    '--allow-fs-read=/app': `--allow-fs-read=${dirname(program)}`,
    '--allow-fs-read=/var/lib/lti-key-operator/publish': `--allow-fs-read=${publishDir}`,
    '/app/lti-key-operator.js': program,
  };
  const flags = readable.map((path) => `--allow-fs-read=${path}`);
  return {
    nodeArguments: [...flags, ...rest.map((argument) => here[argument] ?? argument)],
    env: Object.fromEntries(container.env.map(({ name, value }) => [name, value])),
  };
}

function jwksManifest(): Container {
  const manifest = readFileSync(join(import.meta.dirname, '../deploy/deployment.yaml'), 'utf8');
  const { containers }: { containers: readonly Container[] } = parse(manifest).spec.template.spec;
  const container = containers.find(({ name }) => name === 'jwks');
  if (container === undefined) throw new Error('deploy/deployment.yaml has no container jwks');
  return container;
}
