import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

interface Crd {
  readonly spec: { readonly versions: readonly { readonly schema: { readonly openAPIV3Schema: Schema } }[] };
}

const root = join(import.meta.dirname, '../../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

function* paths(schema: Schema, path: string): Generator<string> {
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    yield `${path}${name}`;
    yield* paths(property.items ?? property, `${path}${name}${property.items ? '[]' : ''}.`);
  }
}

/** The lines of a test file with the titles of tests and cases. */
function titles(file: string): string {
  const named = /^\s*(?:(?:it|describe)\(|(?:what|when):|\{ what:|(?:'[^']+'|`[^`]+`)[:,])/;
  return read(file)
    .split('\n')
    .filter((line) => named.test(line))
    .join('\n');
}

describe('docs/spec/fields.md', () => {
  for (const [kind, file] of [
    ['LtiRegistration', 'crds/ltiregistrations.yaml'],
    ['LtiKey', 'crds/ltikeys.yaml'],
  ] as const) {
    const [, section = ''] = read('docs/spec/fields.md').split(`\n## ${kind}\n`);
    const rows = section
      .split('\n## ', 1)[0]!
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .map((line) => /^\| `([^`]+)` +\| \[([^\]]+)\]\(([^)]+)\) +\| (.+?) +\|$/.exec(line) ?? [line]);

    it(`docs/spec/fields.md has every field of an ${kind} once, and no other`, () => {
      const crd: Crd = parse(read(file));
      const { spec = {}, status = {} } = crd.spec.versions[0]!.schema.openAPIV3Schema.properties ?? {};
      const inSchema = [...paths(spec, 'spec.'), ...paths(status, 'status.')];
      expect(rows.map(([, path]) => path)).to.deep.equal(inSchema);
    });

    it(`docs/spec/fields.md has for every field of an ${kind} a test that exists`, () => {
      expect(rows).not.to.deep.equal([]);
      for (const [line, , name = '', link, words = ''] of rows) {
        expect(link, line).to.equal(`../../test/${name}`);
        expect(existsSync(join(root, 'test', name)), name).to.equal(true);
        expect(words, line).not.to.equal('');
        expect(titles(join('test', name)).includes(words), `a title of ${name} has the words: ${words}`).to.equal(true);
      }
    });
  }
});
