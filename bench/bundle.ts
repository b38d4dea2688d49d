import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The command line and environment of the image, from the Dockerfile, so that benches have its limits; `npm run build` makes the bundle. */

const dockerfile = readFileSync(join(import.meta.dirname, '../Dockerfile'), 'utf8');

export const command: readonly string[] = entrypoint().map((argument) =>
  argument === '/app/lti-key-operator.js' ? join(import.meta.dirname, '../dist/lti-key-operator.js') : argument,
);

export const environment: Readonly<Record<string, string>> = Object.fromEntries(
  [...(/^ENV ((?:.*\\\n)*.*)$/m.exec(dockerfile)?.[1] ?? '').matchAll(/(\w+)=(\S+)/g)].flatMap(
    ([, name = '', value = '']) => (name === 'PATH' ? [] : [[name, value]]),
  ),
);

function entrypoint(): readonly string[] {
  const [node, ...rest] = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(dockerfile)?.[1] ?? '[]') as readonly string[];
  if (node !== 'node') throw new Error('the image does not start node');
  return rest;
}
