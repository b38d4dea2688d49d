import { type Compared, type Rate, measureJwks } from './jwks.ts';
import { bounded, type Measurement, type Row } from './row.ts';

const mostMiB = 120;
const mostLiveMiB = 128;

export const jwks: Measurement = {
  rows: [
    'jwks-200-one-core',
    'jwks-304-one-core',
    'jwks-200-10000-documents',
    'jwks-304-10000-documents',
    'jwks-live-rss',
    'jwks-10000-rss',
    'jwks-30000-keys-rss',
    'jwks-200-nginx',
  ],
  async measure() {
    const { one200, one304, many200, many304, liveMiB, manyMiB, manyKeysMiB, nginx } = await measureJwks();
    const row = (name: string, { ours, theirs, ratio }: Compared): Row => ({
      name,
      value: ours.perSecond,
      unit: 'requests/s',
      limit: { of: 'ratio', atLeast: 0.8 },
      ratio,
      notes: [`p99 ${ours.p99.toFixed(1)} ms; bare node:http server: ${describe(theirs)}`],
    });
    return [
      row('jwks-200-one-core', one200),
      row('jwks-304-one-core', one304),
      row('jwks-200-10000-documents', many200),
      row('jwks-304-10000-documents', many304),
      bounded(
        {
          name: 'jwks-live-rss',
          value: liveMiB,
          unit: 'MiB',
          notes: [
            'peak while the files of 10,000 registrations are written one by one, and both aggregates after each hundred',
          ],
        },
        mostLiveMiB,
      ),
      bounded(
        {
          name: 'jwks-10000-rss',
          value: manyMiB,
          unit: 'MiB',
          notes: [
            '10,000 registrations with one published key each, as between rotations, in 100 namespaces, after the load',
          ],
        },
        mostMiB,
      ),
      {
        name: 'jwks-30000-keys-rss',
        value: manyKeysMiB,
        unit: 'MiB',
        ratio: manyKeysMiB / mostMiB,
        notes: [
          'the same with three published keys each, as if all of them rotated at once, before any load; reported',
        ],
      },
      ...(nginx === undefined ? [] : [reported(nginx)]),
    ];
  },
};

function reported({ ours, theirs, ratio }: Compared): Row {
  const notes = [`nginx with one worker on the same core, serving the same file: ${describe(theirs)}`];
  return { name: 'jwks-200-nginx', value: ours.perSecond, unit: 'requests/s', ratio, notes };
}

function describe({ perSecond, p99 }: Rate): string {
  return `${Math.round(perSecond)} requests/s, p99 ${p99.toFixed(1)} ms`;
}
