import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { applyToServed } from './apply-to-served.ts';
import { bringUp } from './bring-up.ts';
import { jwks } from './jwks-row.ts';
import { revocationUnderLoad } from './revocation-under-load.ts';
import { scaleMetrics } from './metrics-scrape.ts';
import { scale } from './scale.ts';
import { soak } from './soak.ts';
import { toolBundle } from './tool-bundle.ts';
import { toolKey } from './tool-key.ts';
import { type Measurement, passes, type Row, table, toJson } from './row.ts';

/**
 * `npm run bench [-- [PREFIX…] [--json FILE] [--registrations N] [--minutes N]]` measures the rows whose names begin with a prefix, or
 * all except `soak-…`. `--registrations` is the size of the rows `scale-…` and `soak-…`, `--minutes` the length of the latter.
 */

const measurements: readonly Measurement[] = [
  bringUp,
  applyToServed,
  revocationUnderLoad,
  scale,
  scaleMetrics,
  jwks,
  toolKey,
  toolBundle,
  soak,
];

async function main(): Promise<void> {
  const { values, positionals: prefixes } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'string' },
      registrations: { type: 'string', default: '2000' },
      minutes: { type: 'string', default: '60' },
    },
  });
  const selected = (name: string): boolean =>
    prefixes.length === 0 || prefixes.some((prefix) => name.startsWith(prefix));
  const due = measurements.filter(
    ({ rows, onlyByName = false }) => rows.some(selected) && !(onlyByName && prefixes.length === 0),
  );
  if (due.length === 0) {
    throw new Error(`No row begins with ${prefixes.join(' or ')}; there are ${allRows().join(', ')}.`);
  }
  const registrations = wholeNumber('registrations', values.registrations, 200);
  const minutes = wholeNumber('minutes', values.minutes, 3);
  const rows: Row[] = [];
  for (const measurement of due)
    rows.push(...(await measurement.measure({ registrations, minutes })).filter(({ name }) => selected(name)));
  console.log(table(rows));
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(rows.map(toJson), undefined, 2)}\n`);
  if (!rows.every(passes)) process.exitCode = 1;
}

function wholeNumber(option: string, text: string, atLeast: number): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= atLeast) return number;
  throw new Error(`--${option} is ${text}; it must be a whole number of at least ${atLeast}.`);
}

function allRows(): readonly string[] {
  return measurements.flatMap(({ rows }) => rows);
}

await main();
