import { measureJwks } from './jwks.ts';
import type { Rate } from './jwks.ts';
import type { Measurement } from './row.ts';

const mostMiB = 120;

export const jwks: Measurement = {
  rows: ['jwks-200-one-core', 'jwks-304-one-core', 'jwks-10000-documents', 'jwks-10000-rss'],
  async measure() {
    const { ok, notModified, many, manyMiB } = await measureJwks();
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
    ];
  },
};

function describe({ perSecond, p99 }: Rate): string {
  return `${Math.round(perSecond)} requests/s, p99 ${p99.toFixed(1)} ms`;
}
