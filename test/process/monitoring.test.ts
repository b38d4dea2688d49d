import { spawnSync } from 'node:child_process';
import { expect } from 'chai';
import { dashboards } from '../../dev/dashboards/dashboards.ts';
import { findPrometheusProgram } from '../../dev/dashboards/prometheus-package.ts';
import { filledIn } from '../../dev/dashboards/prometheus.ts';
import { Scene } from '../../dev/dashboards/scene.ts';
import { eventually } from '../fixtures/command.ts';
import { controlPlane, createNamespace } from '../fixtures/control-plane.ts';
import { buildIfStale, installOperator } from '../fixtures/installed.ts';
import { render } from '../fixtures/rendered.ts';

interface Target {
  readonly health: string;
  readonly lastError: string;
  readonly labels: Readonly<Record<string, string>>;
}

interface RuleGroup {
  readonly rules: readonly { readonly name: string; readonly health: string; readonly lastError?: string }[];
}

/** Queries without data here, by panel and legend, and why. */
const silent: Readonly<Record<string, string>> = {
  'Dropped events per hour: {{reason}}': 'no event is dropped while the API server accepts them',
  'KEK errors: {{instance}} {{reason}}': 'the key-encryption key is available',
  'Ready endpoints: ready {{cluster}}': 'a Service has no endpoints without nodes',
};

/** A real Prometheus scrapes the built commands as docs/monitoring.md configures it. */
describe('Prometheus scraping the operator', function () {
  let scene: Scene;
  let namespace = '';

  before(async () => {
    await buildIfStale();
    const kubeconfig = await installOperator(controlPlane());
    namespace = await createNamespace('monitoring');
    scene = await Scene.start({ controlPlane: controlPlane(), kubeconfig, namespace });
    await scene.play();
  });
  after(() => scene?.stop());

  it('Prometheus scrapes every process with the labels of the documented configuration', async () => {
    const { activeTargets } = await scene.prometheus.get<{ activeTargets: readonly Target[] }>('targets');
    expect(activeTargets.map(({ health, lastError }) => `${health}${lastError}`)).to.deep.equal(['up', 'up', 'up']);
    expect(activeTargets.map(({ labels: { job, pod, container } }) => `${job} ${pod} ${container}`)).to.have.members([
      'lti-key-operator lti-key-operator-0 controller',
      'lti-key-operator lti-key-operator-0 jwks',
      'lti-key-operator lti-key-operator-1 jwks',
    ]);
    const ready = await scene.prometheus.instant('lti_registration_ready{registration="canvas"}');
    expect(ready.map(({ metric }) => metric['namespace'])).to.deep.equal([namespace]);
    expect(ready[0]!.metric).to.not.have.property('exported_namespace');
  });

  it('Prometheus evaluates every alert without an error', async () => {
    const { groups } = await scene.prometheus.get<{ groups: readonly RuleGroup[] }>('rules');
    const rules = groups.flatMap((group) => group.rules);
    expect(rules.length).to.be.greaterThan(20);
    const failing = rules.filter(({ health, lastError }) => health !== 'ok' || lastError);
    expect(failing.map(({ name, lastError }) => `${name}: ${lastError}`)).to.deep.equal([]);
  });

  for (const [name, { rows, variables }] of Object.entries(dashboards)) {
    it(`Every query of the dashboard ${name} has data where the operator has something to report`, async () => {
      const queries = rows
        .flatMap(({ panels }) => panels)
        .flatMap(({ title, queries: of }) => of.map(({ expr, legend }) => ({ panel: `${title}: ${legend}`, expr })));
      const chosen = { namespace, registration: 'canvas' };
      const withoutData = async (): Promise<readonly string[]> => {
        const found = await Promise.all(
          queries.map(async ({ expr }) => (await scene.prometheus.instant(filledIn(expr, chosen))).length),
        );
        return queries.filter((_, index) => found[index] === 0).map(({ panel }) => panel);
      };
      const expected = queries.map(({ panel }) => panel).filter((panel) => silent[panel] !== undefined);
      await eventually('every query has data', async () => {
        expect(await withoutData()).to.deep.equal(expected);
        return true;
      });
    });

    it(`The variables of the dashboard ${name} offer what the operator reports`, async () => {
      for (const { name: variable, query, all } of variables) {
        const [, series = '', label = ''] = /^label_values\((.*), (\w+)\)$/.exec(query) ?? [];
        const match = filledIn(series, { namespace });
        const values = await scene.prometheus.get<readonly string[]>(`label/${label}/values`, { 'match[]': match });
        if (!all) expect(values, variable).to.include(variable === 'namespace' ? namespace : 'canvas');
      }
    });
  }

  it('Prometheus shows what happened to the registrations', async () => {
    const value = async (query: string): Promise<number> =>
      Number((await scene.prometheus.instant(query))[0]?.values[0]?.[1]);
    await eventually('the newest scrape shows all of it', async () => {
      expect(await value('count(lti_orphaned_keys)')).to.equal(1);
      expect(await value('lti_registrations')).to.equal(5);
      expect(await value('sum(lti_rotations_total{result="activated"})')).to.be.at.least(1);
      expect(await value('count(lti_registration_suspended)')).to.equal(1);
      expect(await value('count(lti_registration_condition{type="Stalled",reason="OverlapTooShort"})')).to.equal(1);
      expect(
        await value('count(lti_registration_condition{type="ActionRequired",reason="UnknownRevokedKeyID"})'),
      ).to.equal(1);
      expect(await value('count(lti_jwks_requests_total{code="404"})')).to.equal(1);
      return true;
    });
  });

  for (const process of ['controller', 'jwks'] as const) {
    it(`promtool check metrics finds nothing in the metrics of the ${process}`, async () => {
      const input = await (await fetch(scene.metricsUrls[process])).text();
      const { stdout, stderr } = spawnSync(findPrometheusProgram('promtool'), ['check', 'metrics'], {
        input,
        encoding: 'utf8',
      });
      expect(`${stdout}${stderr}`).to.equal('');
    });
  }
});

describe('The component deploy/monitoring', () => {
  it('kubectl renders its objects into the namespace and under the names of the installation', async () => {
    const overlay = { components: ['deploy/monitoring'], namespace: 'keys-system', namePrefix: 'a-' };
    const rendered = await render(overlay);
    const added = rendered.filter(({ kind }) => ['PodMonitor', 'PrometheusRule', 'ConfigMap'].includes(kind));
    expect(added.map(({ kind, metadata }) => `${kind} ${metadata.namespace} ${metadata.name}`)).to.have.members([
      'PodMonitor keys-system a-lti-key-operator',
      'PrometheusRule keys-system a-lti-key-operator',
      'ConfigMap keys-system a-lti-key-operator-dashboards',
    ]);
  });
});
