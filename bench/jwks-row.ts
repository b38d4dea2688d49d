import { measureJwks } from './jwks.ts';
import type { JwksFigures, Rate } from './jwks.ts';
import type { Measurement, Row } from './row.ts';

const mostMiB = 120;

export const jwks: Measurement = {
  rows: [
    'jwks-200-one-core',
    'jwks-304-one-core',
    'jwks-10000-documents',
    'jwks-10000-rss',
    'jwks-30000-keys-rss',
    'jwks-200-nginx',
  ],
  async measure() {
    const { ok, notModified, many, manyMiB, manyKeysMiB, nginx } = await measureJwks();
    const limit = { of: 'ratio', atLeast: 0.95 } as const;
    const row = (name: string, ours: Rate, ratio: number, other: string, theirs: Rate) => ({
      name,
      value: ours.perSecond,
      unit: 'requests/s',
      limit,
      ratio,
      notes: [`p99 ${ours.p99.toFixed(1)} ms; ${other}: ${describe(theirs)}`],
    });
    return [
      row('jwks-200-one-core', ok.ours, ok.ratio, 'bare node:http server', ok.bare),
      row('jwks-304-one-core', notModified.ours, notModified.ratio, 'bare node:http server', notModified.bare),
      row('jwks-10000-documents', many.ours, many.ratio, 'one document', many.one),
      {
        name: 'jwks-10000-rss',
        value: manyMiB,
        unit: 'MiB',
        limit: { of: 'value', atMost: mostMiB } as const,
        ratio: manyMiB / mostMiB,
        notes: [
          '10,000 registrations with one published key each, as between rotations, in 100 namespaces, after the load',
        ],
      },
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

function reported({ ours, theirs, ratio }: NonNullable<JwksFigures['nginx']>): Row {
  const notes = [`nginx with one worker on the same core, serving the same file: ${describe(theirs)}`];
  return { name: 'jwks-200-nginx', value: ours.perSecond, unit: 'requests/s', ratio, notes };
}

function describe({ perSecond, p99 }: Rate): string {
  return `${Math.round(perSecond)} requests/s, p99 ${p99.toFixed(1)} ms`;
}
