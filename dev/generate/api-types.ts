/**
 * The TypeScript types of the API, from its CRDs.
 *
 * A field with a default is not optional in the types: they describe objects read from the API server, which fills in
 * defaults. CEL rules, patterns and bounds have no place in a type; the API server holds them.
 */
import { compile, type JSONSchema } from 'json-schema-to-typescript';
import { parse } from 'yaml';

/** The part of a CRD's schema this program looks at (apiextensions.k8s.io/v1 JSONSchemaProps). */
interface Schema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'boolean';
  readonly description?: string;
  readonly enum?: readonly (string | number)[];
  readonly default?: unknown;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema;
  readonly items?: Schema;
}

interface Crd {
  readonly spec: {
    readonly names: { readonly kind: string };
    readonly versions: readonly { readonly schema: { readonly openAPIV3Schema: Schema } }[];
  };
}

/** Keeps what TypeScript can express. An object with a title becomes an interface of that name. */
function forTypeScript(schema: Schema, title?: string): JSONSchema {
  const properties = Object.entries(schema.properties ?? {});
  return {
    ...(title && !schema.items && { title }),
    ...(schema.type && { type: schema.type }),
    ...(schema.description && { description: schema.description }),
    ...(schema.enum && { enum: [...schema.enum] }),
    ...(schema.items && { items: forTypeScript(schema.items, title) }),
    ...(schema.additionalProperties && { additionalProperties: forTypeScript(schema.additionalProperties) }),
    ...(schema.properties && {
      additionalProperties: false,
      required: properties
        .filter(([name, p]) => schema.required?.includes(name) || 'default' in p)
        .map(([name]) => name),
      properties: Object.fromEntries(
        properties.map(([name, p]) => [name, forTypeScript(p, p.items?.properties && elementName(name))]),
      ),
    }),
  };
}

/** `conditions` → `Condition` */
function elementName(list: string): string {
  return list.charAt(0).toUpperCase() + list.slice(1).replace(/s$/, '');
}

/** @param crdFile what the text is generated from, for its first line */
export async function apiTypes(crdFile: string, yaml: string): Promise<string> {
  const crd: Crd = parse(yaml);
  const schema = crd.spec.versions[0]?.schema.openAPIV3Schema.properties ?? {};
  const parts = await Promise.all(
    ['Spec', 'Status'].map((part) =>
      compile(forTypeScript(schema[part.toLowerCase()] ?? {}), `${crd.spec.names.kind}${part}`, {
        bannerComment: '',
        style: { printWidth: 120, singleQuote: true },
      }),
    ),
  );
  const text = parts
    .join('\n')
    .replaceAll(/^(\s+)(\w+\??: |\[k: string\]: )/gm, '$1readonly $2')
    .replaceAll(/: (\w+\[\];)/g, ': readonly $1');
  return `// Generated from ${crdFile} by \`npm run generate\`. Do not edit.\n\n${text}`;
}
