import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { dashboards } from '../../dev/dashboards/dashboards.ts';
import { metricTables } from '../../src/observability/metric-table.ts';

interface GrafanaPanel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly w: number };
  readonly targets?: readonly { readonly expr: string }[];
}

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const rows = Object.values(metricTables).flatMap((table) => Object.values(table));
const series = new Set(
  rows.flatMap(({ name, type }) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  ),
);

describe('The dashboards', () => {
  for (const [name, { rows: rowsOfPanels, variables }] of Object.entries(dashboards)) {
    const panels = rowsOfPanels.flatMap((row) => row.panels);

    it(`The dashboard ${name} queries only metrics of this operator, and alerts`, () => {
      const text = [
        ...panels.flatMap(({ queries }) => queries.map(({ expr }) => expr)),
        ...variables.map((v) => v.query),
      ];
      const metrics = text.flatMap((expr) =>
        [...expr.matchAll(/\b(\w+)\{|label_values\((\w+),/g)].map(([, metric, listed]) => metric ?? listed),
      );
      expect(metrics.length).to.be.greaterThan(5);
      expect(metrics.filter((metric) => metric !== 'ALERTS' && !series.has(metric!))).to.deep.equal([]);
    });

    it(`The rows of the dashboard ${name} fill the page, and each panel says what it shows`, () => {
      for (const { title, panels: inRow } of rowsOfPanels) {
        expect(inRow.reduce((sum, { width }) => sum + width, 0) % 24, title).to.equal(0);
      }
      for (const { title, help } of panels) expect(help, title).to.match(/\.$/);
    });

    it(`The JSON of the dashboard ${name} has a panel with an ID and a place for each of them`, () => {
      const json: { panels: readonly GrafanaPanel[]; uid: string } = JSON.parse(
        read(`deploy/monitoring/dashboards/${name}.json`),
      );
      const shown = json.panels.filter(({ type }) => type !== 'row');
      expect(shown.map(({ title }) => title)).to.deep.equal(panels.map(({ title }) => title));
      expect(shown.map(({ targets = [] }) => targets.map(({ expr }) => expr))).to.deep.equal(
        panels.map(({ queries }) => queries.map(({ expr }) => expr)),
      );
      expect(new Set(json.panels.map(({ id }) => id)).size).to.equal(json.panels.length);
      for (const { title, gridPos } of shown) expect(gridPos.x + gridPos.w, title).to.be.at.most(24);
    });
  }

  it('A ConfigMap with the label of the Grafana sidecar has every dashboard', () => {
    const {
      configMapGenerator: [configMap],
    }: { configMapGenerator: readonly { files: string[]; options: object }[] } = parse(
      read('deploy/monitoring/kustomization.yaml'),
    );
    const names = Object.keys(dashboards);
    expect(configMap!.files).to.have.members(names.map((name) => `lti-${name}.json=dashboards/${name}.json`));
    expect(configMap!.options).to.have.nested.property('labels.grafana_dashboard', '1');
  });
});
