import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { formatDuration } from '../../../src/domain/duration.ts';
import { revocationVerdict } from '../../../src/domain/platforms.ts';

const root = join(import.meta.dirname, '../../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const page = (platform: string): string => read(`docs/platforms/${platform.toLowerCase()}.md`);
const sample = (platform: string): string => read(`deploy/samples/${platform.toLowerCase()}.yaml`);

interface Schema {
  readonly enum?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
}

function platforms(): readonly string[] {
  const { spec } = parse(read('crds/ltiregistrations.yaml')) as {
    spec: { versions: readonly { schema: { openAPIV3Schema: Schema } }[] };
  };
  const schema = spec.versions[0]?.schema.openAPIV3Schema.properties?.['spec']?.properties?.['platform'];
  return (schema?.enum ?? []).filter((platform) => platform !== 'Other');
}

/** What the operator assumes of a platform: how long it accepts a revoked key, and why. */
function assumption(platform: string): { readonly accepts: string; readonly because: string } {
  const { status, message } = revocationVerdict({
    platform,
    keyID: 'kid-1',
    absentAt: 0,
    cacheLifetime: 0,
    stillServed: undefined,
    fetchedAt: undefined,
    isAcknowledged: false,
    now: 0,
  });
  const [, because = ''] = /: (.*); access tokens/.exec(message) ?? [];
  const [, until] = /until (\S+Z):/.exec(message) ?? [];
  if (until !== undefined) return { accepts: formatDuration(Date.parse(until)), because };
  return { accepts: status === 'True' ? 'not at all' : 'without limit', because };
}

/** The cell of the comparison in the row that links to the page. */
function comparedAcceptance(platform: string): string | undefined {
  const row = read('docs/platforms/README.md')
    .split('\n')
    .find((line) => line.includes(`](${platform.toLowerCase()}.md) `));
  return row?.split('|')[4]?.trim();
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ');

describe('docs/platforms', () => {
  it('This test finds the platforms of the schema', () => {
    expect(platforms()).to.have.members(['Canvas', 'Moodle', 'Blackboard', 'Brightspace', 'Sakai', 'OpenEdX']);
  });

  for (const platform of platforms()) {
    it(`The page of ${platform} has the manifest of deploy/samples`, () => {
      const [, manifest] = /^```yaml\n([\s\S]*?)^```$/m.exec(page(platform)) ?? [];
      expect(manifest).to.equal(sample(platform).replaceAll(/^#.*\n/gm, ''));
    });

    it(`The page of ${platform} and the comparison say for how long the operator assumes a revoked key to be accepted`, () => {
      const { accepts, because } = assumption(platform);
      expect(because).not.to.equal('');
      expect(comparedAcceptance(platform)).to.equal(accepts);
      expect(oneLine(page(platform))).to.include(`\`${because}\``);
    });

    it(`The page of ${platform} says what is not known, and cites public sources alone`, () => {
      expect(page(platform))
        .to.include('\n## Not known\n')
        .and.to.match(/\]\(https:\/\//);
      expect(page(platform)).not.to.match(/reference\//);
    });
  }
});
