import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { parse } from 'yaml';
import { findPromtool } from './promtool.ts';

interface Rules {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
}

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook_url: string };
}

interface RuleTests {
  readonly tests: readonly {
    readonly name: string;
    readonly alert_rule_test: readonly { readonly alertname: string; readonly exp_alerts: readonly object[] }[];
  }[];
}

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

const rules: Rules = parse(read('deploy/alerts.yaml'));
const testFiles = ['deploy/alerts.test.yaml', 'deploy/alerts.state.test.yaml'];
const tests = testFiles.flatMap((file) => (parse(read(file)) as RuleTests).tests);
const alerts = rules.groups.flatMap((group) => group.rules);

describe('The alerts', () => {
  let promtool = '';

  before(function () {
    this.timeout(300_000);
    promtool = findPromtool();
  });

  for (const args of [['check', 'rules', 'deploy/alerts.yaml'], ...testFiles.map((file) => ['test', 'rules', file])]) {
    it(`pass promtool ${args.join(' ')}`, () => {
      const { status, stdout, stderr } = spawnSync(promtool, args, { cwd: fileURLToPath(root), encoding: 'utf8' });
      expect(status, `${stdout}${stderr}`).to.equal(0);
    });
  }

  it('are written about in docs/runbooks.md, each in a section of its own, and nothing else is', () => {
    const sections = [...read('docs/runbooks.md').matchAll(/^## (.*)$/gm)].map(([, title]) => title);
    expect(sections).to.have.members(alerts.map(({ alert }) => alert));
  });

  const documented = new Set([...read('docs/metrics.md').matchAll(/`([a-z_]+)`/g)].map(([, name]) => name));

  for (const { alert, expr, annotations } of alerts) {
    describe(alert, () => {
      it('is shown firing and not firing', () => {
        const shown = tests
          .flatMap((test) => test.alert_rule_test)
          .filter(({ alertname }) => alertname === alert)
          .map(({ exp_alerts }) => exp_alerts.length > 0);
        expect(shown).to.include.members([true, false]);
      });

      it('uses metrics that docs/metrics.md explains', () => {
        const used = expr.match(/\b(?:lti|controller_runtime|leader_election)_[a-z_]+/g) ?? [];
        expect(used).to.not.deep.equal([]);
        expect(used.filter((name) => !documented.has(name))).to.deep.equal([]);
      });

      it('says what is wrong and which runbook helps', () => {
        expect(annotations.summary).to.match(/\.$/);
        expect(annotations.description).to.match(/\.$/);
        expect(annotations.runbook_url).to.equal(`https://ltikeys.dev/docs/runbooks.md#${alert.toLowerCase()}`);
      });
    });
  }
});
