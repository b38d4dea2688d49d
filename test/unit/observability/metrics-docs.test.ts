import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect } from 'chai';

import { metricTables, type MetricRow } from '../../../src/observability/metric-table.ts';

describe('docs/metrics.md', () => {
  it('docs/metrics.md has exactly one row for each metric, with its type, labels and help', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../docs/metrics.md'), 'utf8');
    const documented = page
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .map((line) =>
        line
          .slice(1, -1)
          .split('|')
          .map((cell) => cell.trim())
          .join(' | '),
      );
    const rows = Object.values(metricTables).flatMap((table): MetricRow[] => Object.values(table));
    const expected = rows.map(({ name, type, labels, help }) =>
      [`\`${name}\``, type, labels.map((label) => `\`${label}\``).join(', '), help].join(' | '),
    );
    expect(documented).to.deep.equal(expected);
  });
});
