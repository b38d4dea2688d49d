import { aligned, seconds } from './narrator.ts';
import type { KeyHistory, KeyRecord } from './key-history.ts';
import type { ServedKeys } from './served-keys.ts';
import type { Tally } from './tally.ts';

export interface Evidence {
  readonly keys: KeyHistory;
  readonly served: ServedKeys;
  readonly tally: Tally;
}

/** One column per token, one row per key, and then the moments in seconds since the start. */
export function timeline({ keys, served, tally }: Evidence): string {
  const records = keys.all();
  const width = Math.max(...records.map(({ name }) => name.length)) + 2;
  const bars = records.map((record) => {
    const marks = tally.tokens.map((token) => mark(record, token.keyID, token.signedAt, { served, tally }));
    return record.name.padEnd(width) + marks.join('').trimEnd();
  });
  const ruler = tally.tokens.map(({ signedAt }, at) => (at % 10 === 0 ? Math.round(signedAt / 1000) : ''));
  const scale = ruler.flatMap((label) => (label === '' ? [] : [String(label).padEnd(10)])).join('');
  const moments = records.map(({ name, keyID, madeAt }) => {
    const signatures = tally.signatures(keyID);
    const times = [madeAt, served.firstSeen(keyID), signatures[0], signatures.at(-1), served.left(keyID)];
    return [name, ...times.map(moment)];
  });
  return [
    `Timeline (seconds; one column is one token)`,
    '',
    ' '.repeat(width) + scale.trimEnd(),
    ...bars,
    '',
    `${' '.repeat(width)}.  in the JWKS, does not sign yet    =  signs    -  still in the JWKS`,
    '',
    aligned([['KEY', 'MADE', 'IN THE JWKS', 'FIRST SIGNED', 'LAST SIGNED', 'LEFT THE JWKS'], ...moments]),
    '',
    ...records.flatMap((record) => margins(record, { served, tally })),
  ].join('\n');
}

function moment(at: number | undefined): string {
  return at === undefined ? '-' : seconds(at);
}

function mark(
  { keyID }: KeyRecord,
  signer: string,
  at: number,
  { served, tally }: Pick<Evidence, 'served' | 'tally'>,
): string {
  if (signer === keyID) return '=';
  if (!served.isServed(keyID, at)) return ' ';
  return at < (tally.signatures(keyID)[0] ?? Infinity) ? '.' : '-';
}

/** How long a key was published before its first and after its last signature. */
function margins(
  { name, keyID, revision, states }: KeyRecord,
  { served, tally }: Pick<Evidence, 'served' | 'tally'>,
): string[] {
  const signatures = tally.signatures(keyID);
  const [first, last] = [signatures[0], signatures.at(-1)];
  const [entered, left] = [served.firstSeen(keyID), served.left(keyID)];
  return [
    // No cache holds a document from before the first key, so that key signs as soon as it is published.
    ...(first !== undefined && entered !== undefined && revision > 1
      ? [`${name} was in the JWKS for ${seconds(first - entered)} s before its first signature.`]
      : []),
    ...(last !== undefined && left !== undefined && states.at(-1) === 'Retired'
      ? [`${name} stayed in the JWKS for ${seconds(left - last)} s after its last signature.`]
      : []),
  ];
}

export function summary({ keys, tally }: Evidence): string {
  const counts: [string, number, string][] = [
    ['tokens signed', tally.signed, ''],
    ['tokens verified', tally.total('verified'), 'by both verifiers'],
    ['tokens rejected', tally.total('rejected'), ''],
  ];
  if (tally.total('refused') > 0) counts.push(['tokens refused', tally.total('refused'), 'of the revoked key']);
  const rows = keys
    .all()
    .map(({ name, keyID, states }) => [name, keyID, String(tally.count(keyID)), states.join(', ')]);
  return [
    'Summary',
    '',
    aligned(counts.map(([what, count, note]) => [what, String(count).padStart(3), note])),
    '',
    aligned([['KEY', 'KEY ID', 'TOKENS', 'STATES'], ...rows]),
  ].join('\n');
}

/** For programs: the same as `summary`. */
export function result({ keys, tally }: Evidence): object {
  return {
    signed: tally.signed,
    verified: tally.total('verified'),
    rejected: tally.total('rejected'),
    keys: keys.all().map(({ name, keyID, states }) => ({ name, keyID, state: states.at(-1) })),
  };
}
