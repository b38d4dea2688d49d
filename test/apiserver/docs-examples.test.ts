import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseAllDocuments } from 'yaml';
import { applyManifest, controlPlane, installCrds } from '../fixtures/control-plane.ts';

const root = join(import.meta.dirname, '../..');
const inDocs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' });
const pages = ['README.md', ...inDocs.map((file) => join('docs', file))];

interface Example {
  /** As `README.md:43`. */
  readonly at: string;
  readonly text: string;
}

/** The blocks of YAML of a page, without the indentation of a list they stand in. */
function examplesOf(page: string): Example[] {
  const text = readFileSync(join(root, page), 'utf8');
  return [...text.matchAll(/^( *)```ya?ml\n([\s\S]*?)^ *```$/gm)].map(
    ({ index, 1: indentation = '', 2: block = '' }) => ({
      at: `${page}:${text.slice(0, index).split('\n').length}`,
      text: block.replaceAll(new RegExp(`^${indentation}`, 'gm'), ''),
    }),
  );
}

const examples = pages.filter((page) => page.endsWith('.md')).flatMap(examplesOf);
const isWhole = ({ text }: Example): boolean => /^apiVersion:/m.test(text);
/** Parts of a Pod, or of a Deployment that has one. */
const isPod = ({ text }: Example): boolean => /^(?:spec:\n {2}containers:|volumes:|metadata:\n)/.test(text);
const isExcerpt = (example: Example): boolean => example.text.startsWith('spec:\n') && !isPod(example);
/** Kustomizations, and configuration of Alertmanager and Prometheus. */
const isConfiguration = ({ text }: Example): boolean =>
  /^(resources|patches|inhibit_rules|scrape_configs):/m.test(text);

/** What a reader puts around an excerpt, and in the place of the modulus of a key. */
function completed({ text }: Example): string {
  const issuer = /^ {2}issuer:/m.test(text) ? '' : '  issuer: https://canvas.instructure.com\n';
  const head =
    'apiVersion: ltikeys.dev/v1alpha1\nkind: LtiRegistration\nmetadata: { name: canvas, namespace: gradebook }\n';
  return head + text.replace('spec:\n', `spec:\n${issuer}`).replaceAll("'…'", `'${'u'.repeat(342)}'`);
}

async function expectApplied(manifest: string): Promise<void> {
  for (const namespace of namespacesOf(manifest)) {
    const created = await applyManifest(`apiVersion: v1\nkind: Namespace\nmetadata: { name: ${namespace} }\n`);
    expect(created.code, created.stderr).to.equal(0);
  }
  const args = ['apply', '--dry-run=server', '--validate=strict', '--filename', '-'];
  const { code, stdout, stderr } = await controlPlane().kubectlRun(args, { input: manifest });
  expect(stderr).to.equal('');
  expect(code, stdout).to.equal(0);
}

function namespacesOf(manifest: string): Set<string> {
  const objects: readonly { metadata?: { namespace?: string } }[] = parseAllDocuments(manifest).map((d) => d.toJS());
  return new Set(objects.flatMap(({ metadata }) => metadata?.namespace ?? []));
}

describe('The YAML in README.md and docs/', () => {
  before(installCrds);

  it('This test finds the YAML examples and applies all but Pods, kustomizations and configuration of Prometheus', () => {
    expect(examples.filter(isWhole).map(({ at }) => at.replace(/:.*/, ''))).to.include.members([
      'README.md',
      'docs/spec/ltiregistration.md',
      'docs/spec/ltikey.md',
    ]);
    const others = examples.filter((example) => !isWhole(example) && !isExcerpt(example) && !isPod(example));
    expect(others.filter((example) => !isConfiguration(example))).to.deep.equal([]);
  });

  for (const example of examples.filter(isWhole)) {
    it(`The example ${example.at} can be applied as printed`, () => expectApplied(example.text));
  }

  for (const example of examples.filter(isExcerpt)) {
    it(`The excerpt ${example.at} can be applied within a registration`, () => expectApplied(completed(example)));
  }
});
