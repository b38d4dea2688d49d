import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { findPromtool } from '../fixtures/promtool.ts';

interface PodMonitor {
  readonly spec: {
    readonly selector: { readonly matchExpressions: readonly { readonly key: string; readonly values: string[] }[] };
    readonly podMetricsEndpoints: readonly { readonly port: string; readonly honorLabels: boolean }[];
  };
}

interface Deployment {
  readonly spec: {
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: { readonly containers: readonly { readonly ports: readonly { readonly name: string }[] }[] };
    };
  };
}

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

describe('deploy/monitoring', () => {
  it('The PrometheusRule has the groups of deploy/alerts.yaml', () => {
    const rule: { spec: object } = parse(read('deploy/monitoring/prometheusrule.yaml'));
    expect(rule.spec).to.deep.equal(parse(read('deploy/alerts.yaml')));
  });

  for (const path of ['deploy/deployment.yaml', 'deploy/publisher/deployment.yaml']) {
    it(`The PodMonitor selects the Pods of ${path} and scrapes all their ports but that of the documents`, () => {
      const { selector, podMetricsEndpoints }: PodMonitor['spec'] = (
        parse(read('deploy/monitoring/podmonitor.yaml')) as PodMonitor
      ).spec;
      const { metadata, spec } = (parse(read(path)) as Deployment).spec.template;
      for (const { key, values } of selector.matchExpressions) expect(values).to.include(metadata.labels[key]);
      const ports = spec.containers.flatMap((container) => container.ports.map(({ name }) => name));
      expect(podMetricsEndpoints.map(({ port }) => port)).to.have.members(ports.filter((name) => name !== 'http'));
      expect(podMetricsEndpoints.every(({ honorLabels }) => honorLabels)).to.equal(true);
    });
  }
});

describe('docs/runbooks.md', () => {
  it('Every runbook begins with its remedy', () => {
    const [, ...sections] = read('docs/runbooks.md').split(/^## /m);
    const late = sections.filter((section) => !/^\w+\n\n(?:1\. |Follow the steps of )/.test(section));
    expect(late).to.deep.equal([]);
  });
});

describe('docs/monitoring.md', () => {
  it('The scrape configuration of the page is valid', function () {
    this.timeout(60_000);
    const [, text = ''] = /```yaml\n(scrape_configs:\n[^`]*)```/.exec(read('docs/monitoring.md')) ?? [];
    const config: { scrape_configs: readonly { kubernetes_sd_configs?: object }[] } = parse(text);
    for (const scrape of config.scrape_configs) {
      expect(scrape.kubernetes_sd_configs).to.be.an('array');
      // Debian builds Prometheus without this service discovery.
      delete scrape.kubernetes_sd_configs;
    }
    const folder = mkdtempSync(join(tmpdir(), 'scrape-config-'));
    const file = join(folder, 'prometheus.yaml');
    writeFileSync(file, JSON.stringify(config));
    const { status, stdout, stderr } = spawnSync(findPromtool(), ['check', 'config', file], { encoding: 'utf8' });
    rmSync(folder, { recursive: true });
    expect(status, `${stdout}${stderr}`).to.equal(0);
  });
});
