import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { parse } from 'yaml';
import { rotateRequestedAtAnnotation } from '../../src/api/names.ts';
import { formatDuration, parseDuration, second } from '../../src/domain/duration.ts';
import { fetchesOnlyAfterUse } from '../../src/domain/platforms.ts';
import * as durations from './durations.ts';

/**
 * Arbitrary registrations, generated from crds/ltiregistrations.yaml, so that every new field is included. Values lie inside the
 * bounds of the schema and often at their ends: long, of any script, named like members of objects, at the ends of calendars.
 * The API server accepts nearly all of them, and rejects most of the `spoiled` ones.
 */
export interface AnyRegistration {
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: Readonly<Record<string, unknown>>;
}

export function anyRegistration({ spoiled = false } = {}): fc.Arbitrary<AnyRegistration> {
  const spec = anyOf(specSchema, 'spec').map((value) => consistent(asObject(value)));
  const request = fc.option(fc.oneof(text(), longText(20_000), fc.constant('2026-11-01T00:00:00Z')), {
    nil: undefined,
  });
  return fc.tuple(spoiled ? fc.oneof(spec, spoil(spec)) : spec, request).map(([made, asked]) => ({
    annotations: asked === undefined ? {} : { [rotateRequestedAtAnnotation]: asked },
    spec: made,
  }));
}

interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly enum?: readonly (string | number)[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema;
  readonly items?: Schema;
  readonly 'x-kubernetes-list-type'?: string;
  readonly 'x-kubernetes-validations'?: readonly { readonly rule: string }[];
}

interface Crd {
  readonly spec: { readonly versions: readonly { readonly schema: { readonly openAPIV3Schema: Schema } }[] };
}

const crd: Crd = parse(readFileSync(new URL('../../crds/ltiregistrations.yaml', import.meta.url), 'utf8'));
const specSchema = crd.spec.versions[0]!.schema.openAPIV3Schema.properties!['spec']!;

function anyOf(schema: Schema, path: string): fc.Arbitrary<unknown> {
  const own = special[path] ?? special[path.replace(/^.*[.\]]/, '')];
  if (own) return own;
  if (schema.enum) return fc.constantFrom(...schema.enum);
  switch (schema.type) {
    case 'boolean':
      return fc.boolean();
    case 'integer':
      return fc.integer({ min: schema.minimum ?? 0, max: schema.maximum ?? 2 ** 31 - 1 });
    case 'array':
      return anyList(schema, path);
    case 'object':
      return schema.additionalProperties ? anyMap(schema) : anyObject(schema, path);
    default:
      return schema.format === 'duration' ? anyDuration : anyText(schema);
  }
}

function anyObject({ properties = {}, required = [] }: Schema, path: string): fc.Arbitrary<unknown> {
  const members = Object.entries(properties).map(([name, schema]) => [name, anyOf(schema, `${path}.${name}`)] as const);
  return fc.record(Object.fromEntries(members), { requiredKeys: [...required], noNullPrototype: true });
}

function anyList({ items = {}, maxItems = 10, ...schema }: Schema, path: string): fc.Arbitrary<unknown> {
  const item = anyOf(items, `${path}[]`);
  const maxLength = Math.min(maxItems, 20);
  return schema['x-kubernetes-list-type'] === 'set'
    ? fc.uniqueArray(item, { maxLength })
    : fc.array(item, { maxLength: Math.min(maxLength, 4) });
}

function anyMap({ additionalProperties = {}, maxProperties = 10 }: Schema): fc.Arbitrary<unknown> {
  const key = fc.constantFrom('team', 'example.org/Tier', 'constructor', 'x'.repeat(63), 'toString', 'a.b-c_d');
  const label = { ...additionalProperties, 'x-kubernetes-validations': [{ rule: labelValue }] };
  return fc.dictionary(key, anyText(label), { maxKeys: maxProperties, noNullPrototype: true });
}

/** Texts that are known to break programs. Each field gets those that its schema allows. */
const hostile: readonly string[] = [
  ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'null', 'true', '0', '-1', 'NaN', '1e999'],
  ['.', '..', '../../etc/passwd', '.hidden', 'a/b', '%2e%2e', 'ledger.json', 'private.pem', 'x-lti-keys', '*'],
  ['{}', '[]', '"', "'", '\\', '${x}', '<b>', '$(x)', '`x`', '%s', '#', ' ', 'a b', '\n', '\u0000', '\u202e'],
  ['2018-06-18T22:33:20Z', 'a+b/c==', 'https://lms.example.edu/k#1', 'Schlüssel', '鍵', '🔑', 'é\u0301', '\u200b'],
].flat();

function text(): fc.Arbitrary<string> {
  return fc.oneof(
    fc.constantFrom(...hostile),
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'grapheme' }),
    fc.string(),
  );
}

function longText(length: number): fc.Arbitrary<string> {
  return text().map((part) =>
    Array.from((part || 'x').repeat(length))
      .slice(0, length)
      .join(''),
  );
}

/** The rules of the schema about the characters of a text. */
const labelValue = "self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')";
const subdomain = '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*';

function anyText({ minLength = 0, maxLength = 300, ...schema }: Schema): fc.Arbitrary<string> {
  const rules = (schema['x-kubernetes-validations'] ?? []).map(({ rule }) => rule);
  const patterns = rules.flatMap((rule) => {
    const [, matched] = /^self\.matches\('([^']+)'\)/.exec(rule) ?? [];
    if (matched) return [matched.replaceAll('\\\\', '\\')];
    return rule.includes('dns1123Subdomain') ? [`^${subdomain}$`] : [];
  });
  const fits = (value: string): boolean => {
    const length = Array.from(value).length;
    return (
      length >= minLength && length <= maxLength && patterns.every((pattern) => new RegExp(pattern, 'u').test(value))
    );
  };
  const known = hostile.filter(fits);
  const [pattern] = patterns;
  const any = pattern === undefined || pattern.includes('\\p') ? text() : fc.stringMatching(new RegExp(pattern));
  const long = fc.constantFrom('x', 'x.y', '__proto__', ...known).map((part) => (part || 'x').repeat(maxLength));
  return fc
    .oneof(
      any,
      any,
      ...(known.length > 0 ? [fc.constantFrom(...known)] : []),
      long.map((value) => value.slice(0, maxLength)),
    )
    .filter((value) => fits(value) && !value.endsWith('-lti-keys') && !/^(\.|\.\..*|__proto__)$/.test(value));
}

const tenYears = parseDuration('3650d');
const anyDuration = fc.oneof(
  fc.constantFrom(...durations.accepted.map(([written]) => written)),
  fc.integer({ min: 0, max: 3 * 86_400 }).map((seconds) => formatDuration(seconds * second)),
);

const host = fc.constantFrom(
  'lms.example.edu',
  'localhost:8443',
  'xn--mller-kva.example',
  '[2001:db8::1]',
  'a'.repeat(63),
);
const anyUrl = fc
  .tuple(host, fc.stringMatching(/^(\/[!"$-.0-9;=@A-Z\\^-~]*)*$/), fc.constantFrom(0, 0, 0, 2048))
  .map(([name, path, length]) => `https://${name}/${encodeURI(path)}`.padEnd(length, 'x').slice(0, 2048));

const anyInstant = fc
  .tuple(
    fc.oneof(
      fc.constantFrom('2000-01-01T00:00:00', '9998-12-31T23:59:59', '2028-02-29T12:00:00', '1970-01-01T00:00:00'),
      fc
        .date({ min: new Date('2026-01-01'), max: new Date('2028-01-01'), noInvalidDate: true })
        .map((d) => d.toISOString().slice(0, 19)),
    ),
    fc.constantFrom('', '.5', '.123456789'),
    fc.constantFrom('Z', 'Z', '+14:00', '-14:00', '+05:45', '-00:00'),
  )
  .map((parts) => parts.join('').replace('1970', '2027'));

/** The modulus of the example in RFC 7638, and texts that only look like a modulus. */
const realModulus =
  '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw';

/** Fields, by path or last name, whose rules say more than a bound and a pattern. */
const special: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  issuer: anyUrl,
  authorizationEndpoint: anyUrl,
  tokenEndpoint: anyUrl,
  jwksURI: anyUrl,
  schedule: fc.constantFrom(
    '0 2 * * 6',
    '0 2 */2 * 6',
    '0 0 31 2 *',
    '0 0 29 2 1',
    '* * * * *',
    '0 2 * * 6#1',
    '99 2 * * 6',
    '0 2 30 2 6L',
    '@ @ @ @ @',
    `0 2 ${'1,'.repeat(50)}1 * 6`,
    '*/59 */23 */31 */12 */7',
  ),
  timeZone: fc.constantFrom('UTC', 'Europe/Berlin', 'Mars/Olympus', '__proto__', '+14', 'x'.repeat(64)),
  'spec.rotationWindows[].duration': fc.constantFrom('1m', '4h', '366d', '26w', '60s'),
  until: anyInstant,
  n: fc.oneof(fc.constant(realModulus), fc.constantFrom('u'.repeat(342), 'A'.repeat(683), '-'.repeat(683))),
  e: fc.constantFrom('AQAB', 'AQAB', 'Aw', 'AA', 'AQ', '_'.repeat(11)),
  recipient: fc.constantFrom<object>(
    { kty: 'RSA', alg: 'RSA-OAEP-256', n: realModulus, e: 'AQAB', kid: '__proto__', use: 'enc' },
    { kty: 'RSA', alg: 'RSA-OAEP-256', n: '', e: '' },
    { kty: 'EC', alg: 'ECDH-ES', crv: 'X25519', x: '=', y: '=' },
    { kty: 'OKP', alg: 'ECDH-ES+A256KW', crv: 'P-521', x: 'A'.repeat(88) },
    { kty: 'OKP', alg: 'ECDH-ES', crv: 'X25519', x: 'A'.repeat(43) },
  ),
};

type Spec = Record<string, unknown>;

function asObject(value: unknown): Spec {
  return { ...Object(value) };
}

/** Makes the fields satisfy the rules between them. */
function consistent(spec: Spec): Spec {
  const made = { ...spec, ...consistentDurations(spec) };
  const { revokedKeyIDs, acknowledgedKeyID, keyDistribution } = made;
  const revoked = Array.isArray(revokedKeyIDs) && revokedKeyIDs.includes(acknowledgedKeyID);
  if (made['activation'] === 'AfterFetch' && fetchesOnlyAfterUse(String(made['platform']))) delete made['activation'];
  if (keyDistribution === 'Manual') delete made['activation'];
  else if (made['activation'] !== 'AfterFetch') delete made['acknowledgedKeyID'];
  if (revoked) delete made['acknowledgedKeyID'];
  if (made['import'] !== undefined) {
    const imported = asObject(made['import']);
    if (imported['secretName'] === undefined) delete imported['keyID'];
    if (imported['secretName'] === undefined && imported['verifyOnly'] === undefined)
      imported['secretName'] = 'old-keys';
    made['import'] = imported;
  }
  if (made['delivery'] !== undefined) made['delivery'] = consistentDelivery(asObject(made['delivery']));
  return made;
}

/** The files include the private key, and with a recipient only its encrypted form. */
function consistentDelivery(made: Spec): Spec {
  const { secretName = 'signing-key', bundle, metadata, ...others } = made;
  const single = metadata === undefined ? { secretName } : { secretName, metadata };
  const delivery: Spec = { ...others, ...(bundle === undefined ? single : { bundle }) };
  const { files, recipient } = delivery;
  if (!Array.isArray(files)) return delivery;
  const wrong = recipient === undefined ? ['private.jwe'] : ['private.jwk', 'private.pem'];
  const right = recipient === undefined ? 'private.jwk' : 'private.jwe';
  return { ...delivery, files: [...new Set([...files.filter((name) => !wrong.includes(name)), right])] };
}

/** rotateAfter is longer than the two others together, which have defaults, and no longer than ten years. */
function consistentDurations({ activationDelay = '24h', overlap = '48h', rotateAfter = '90d' }: Spec): Spec {
  const [delay = 0, after = 0, period = 0] = [activationDelay, overlap, rotateAfter].map((each) =>
    parseDuration(String(each)),
  );
  if (delay + after >= tenYears) return { activationDelay: '0s', overlap: '3649d', rotateAfter: '3650d' };
  if (period > delay + after && period <= tenYears) return {};
  return { rotateAfter: formatDuration(delay + after + second) };
}

/** Replaces one member by a value that its schema does not expect. */
function spoil(spec: fc.Arbitrary<Spec>): fc.Arbitrary<Spec> {
  const member = fc.constantFrom(...Object.keys(specSchema.properties ?? {}));
  const value = fc.oneof(text(), longText(3000), fc.jsonValue(), fc.array(text()), fc.dictionary(text(), text()));
  return fc.tuple(spec, member, value).map(([made, name, other]) => ({ ...made, [name]: other }));
}
