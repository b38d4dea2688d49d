import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { parse } from 'yaml';

interface Schema {
  readonly default?: string | number | boolean | object;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

interface Crd {
  readonly spec: { readonly versions: readonly { readonly schema: { readonly openAPIV3Schema: Schema } }[] };
}

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');

function* fields(schema: Schema, path: string): Generator<readonly [path: string, schema: Schema]> {
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    yield [`${path}${name}`, property];
    yield* fields(property.items ?? property, `${path}${name}${property.items ? '[]' : ''}.`);
  }
}

for (const kind of ['ltiregistration', 'ltikey']) {
  describe(`docs/spec/${kind}.md`, () => {
    const crd: Crd = parse(read(`crds/${kind}s.yaml`));
    const { spec = {}, status = {} } = crd.spec.versions[0]!.schema.openAPIV3Schema.properties ?? {};
    const inSchema = new Map([...fields(spec, 'spec.'), ...fields(status, 'status.')]);
    // | `spec.field` | default or meaning | …
    const rows = [...read(`docs/spec/${kind}.md`).matchAll(/^\| `((?:spec|status)\.[\w.[\]]+)` +\| +(.*?) +\|/gm)];
    const inDocs = rows.map(([, path]) => path!);

    it(`docs/spec/${kind}.md describes every field of the schema once, and no other`, () => {
      expect(inDocs.toSorted()).to.deep.equal([...inSchema.keys()].toSorted());
    });

    it(`docs/spec/${kind}.md has the defaults of the schema`, () => {
      for (const [, path, text] of rows) {
        const value = inSchema.get(path!)?.default;
        if (value !== undefined && typeof value !== 'object') expect(text, path).to.equal(`\`${value}\``);
      }
    });
  });
}
