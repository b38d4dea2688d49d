import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { parse, stringify } from 'yaml';
import { conditionReasons, kekReasons, sealReasons } from '../../src/api/reasons.ts';
import { findPromtool } from '../fixtures/promtool.ts';

interface Rules {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
}

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook_url: string };
}

interface Inhibitions {
  readonly inhibit_rules: readonly {
    readonly source_matchers: readonly string[];
    readonly target_matchers: readonly string[];
  }[];
}

interface RuleTests {
  readonly tests: readonly RuleTest[];
}

interface RuleTest {
  readonly name: string;
  readonly alert_rule_test: readonly { readonly alertname: string; readonly exp_alerts: readonly object[] }[];
}

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

const rules: Rules = parse(read('deploy/alerts.yaml'));
const testFiles = ['deploy/alerts.test.yaml', 'deploy/alerts.state.test.yaml', 'deploy/alerts.days.test.yaml'];
const tests = testFiles.flatMap((file) => (parse(read(file)) as RuleTests).tests);
const alerts = rules.groups.flatMap((group) => group.rules);

/** The alerts that the test names, and those in their expressions. */
function alertsOf(test: RuleTest): ReadonlySet<string> {
  const names = new Set(test.alert_rule_test.map(({ alertname }) => alertname));
  // The loop also visits names that are added meanwhile.
  for (const name of names) {
    const { expr = '' } = alerts.find(({ alert }) => alert === name) ?? {};
    for (const [other] of expr.matchAll(/LTI\w+/g)) names.add(other);
  }
  return names;
}

describe('The alerts', function () {
  // promtool simulates days, which takes long on a busy machine.
  this.timeout(300_000);
  let promtool = '';

  before(() => {
    promtool = findPromtool();
  });

  function passes(folder: string, ...args: readonly string[]): void {
    const { status, stdout, stderr } = spawnSync(promtool, args, { cwd: folder, encoding: 'utf8' });
    expect(status, `${stdout}${stderr}`).to.equal(0);
  }

  it('The alerts pass promtool check rules deploy/alerts.yaml', () => {
    passes(fileURLToPath(root), 'check', 'rules', 'deploy/alerts.yaml');
  });

  /** promtool evaluates all alerts in each test, for days in some, so each test gets only the alerts that it is about. */
  function passesAlone(file: RuleTests, test: RuleTest): void {
    const names = alertsOf(test);
    const groups = rules.groups.map((group) => ({
      ...group,
      rules: group.rules.filter(({ alert }) => names.has(alert)),
    }));
    const folder = mkdtempSync(join(tmpdir(), 'alerts-'));
    try {
      writeFileSync(join(folder, 'alerts.yaml'), stringify({ groups }));
      writeFileSync(join(folder, 'test.yaml'), stringify({ ...file, tests: [test] }));
      passes(folder, 'test', 'rules', 'test.yaml');
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  for (const path of testFiles) {
    describe(path, () => {
      const file: RuleTests = parse(read(path));
      for (const test of file.tests) it(test.name, () => passesAlone(file, test));
    });
  }

  it('The alerts each have a section in docs/runbooks.md, which has no others', () => {
    const sections = [...read('docs/runbooks.md').matchAll(/^## (.*)$/gm)].map(([, title]) => title);
    expect(sections).to.have.members(alerts.map(({ alert }) => alert));
  });

  it('The alerts include every name in deploy/alerts.inhibition.yaml, where no alert inhibits itself', () => {
    const { inhibit_rules: inhibitions }: Inhibitions = parse(read('deploy/alerts.inhibition.yaml'));
    const named = (matchers: readonly string[]): readonly string[] => matchers.join().match(/LTI\w+/g) ?? [];
    const names = alerts.map(({ alert }) => alert);
    for (const { source_matchers: source, target_matchers: target } of inhibitions) {
      expect(named(source)).to.not.deep.equal([]);
      expect(names).to.include.members([...named(source), ...named(target)]);
      expect(named(target).filter((name) => named(source).includes(name))).to.deep.equal([]);
    }
  });

  it('The alerts refer in their expressions only to alerts that exist', () => {
    const names = alerts.map(({ alert }) => alert);
    const named = alerts.flatMap(({ expr }) => expr.match(/LTI\w+/g) ?? []);
    expect(names).to.include.members(named);
  });

  it('The alerts cover every reason of Stalled: LTIKeyMaterialUnavailable those of ledgers, sealed keys and KEKs, LTIRegistrationStalled the others', () => {
    const ofMaterial = (reason: string): boolean => /^(?:Ledger.+|Seal.+|KEK.+|KMS.+)$/.test(reason);
    expect(Object.keys(kekReasons).filter((reason) => !/^(?:KEK.+|KMS.+)$/.test(reason))).to.deep.equal([]);
    expect(Object.keys(sealReasons).filter((reason) => !ofMaterial(reason))).to.deep.equal([]);
    const others = Object.keys(conditionReasons).filter((reason) => ofMaterial(reason));
    expect(others.filter((reason) => !/^(?:Ledger|SealedKeyMissing)/.test(reason))).to.deep.equal([]);
    const known = new Set([...Object.keys(conditionReasons), ...Object.keys(kekReasons), ...Object.keys(sealReasons)]);
    const asked = alerts.flatMap(({ expr }) =>
      [...expr.matchAll(/reason[!=]=?~?"([^"]*)"/g)].map(([, text = '']) => text),
    );
    const whole = asked.flatMap((text) => text.split('|')).filter((text) => /^[A-Z]\w*$/.test(text));
    expect(whole.filter((reason) => !known.has(reason))).to.deep.equal([]);
  });

  const perRegistration = alerts.filter(({ expr }) => /registration[,)]/.test(expr));

  it('The alerts on registrations group by namespace and name, and keep their state while no replica reports registrations', () => {
    expect(perRegistration.length).to.equal(12);
    for (const { alert, expr } of perRegistration) {
      for (const [, labels = ''] of expr.matchAll(/(?:by|on) \(([^)]*registration[^)]*)\)/g)) {
        expect(labels, alert).to.match(/^cluster, namespace, exported_namespace, registration(?:, reason)?$/);
      }
      const held = `ALERTS{alertname="${alert}"} unless on (cluster) lti_registrations`;
      expect(expr, alert).to.include(held);
    }
  });

  const documented = new Set([...read('docs/metrics.md').matchAll(/`([a-z_]+)`/g)].map(([, name]) => name));

  for (const { alert, expr, labels, annotations } of alerts) {
    describe(alert, () => {
      it(`${alert} has a test in which it fires and one in which it does not`, () => {
        const shown = tests
          .flatMap((test) => test.alert_rule_test)
          .filter(({ alertname }) => alertname === alert)
          .map(({ exp_alerts }) => exp_alerts.length > 0);
        expect(shown).to.include.members([true, false]);
      });

      it(`${alert} uses only metrics that are in docs/metrics.md`, () => {
        const used = expr.match(/\b(?:lti|controller_runtime|leader_election)_[a-z_]+/g) ?? [];
        expect(used).to.not.deep.equal([]);
        expect(used.filter((name) => !documented.has(name))).to.deep.equal([]);
      });

      it(`${alert} has a summary, a description and the URL of its runbook`, () => {
        expect(labels.severity).to.match(/^(?:critical|warning)$/);
        expect(annotations.summary).to.match(/\.$/);
        expect(annotations.description).to.match(/\.$/);
        expect(annotations.runbook_url).to.equal(`https://ltikeys.dev/docs/runbooks.md#${alert.toLowerCase()}`);
      });
    });
  }
});
