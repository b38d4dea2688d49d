import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect } from 'chai';
import { conditionReasons, eventReasons, kekReasons, type Reason, sealReasons } from '../src/api/reasons.ts';
import { optionTable } from '../src/option-table.ts';

/** Docs and code say the same, both ways. The metrics are compared in test/unit/observability/metrics-docs.test.ts. */

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** As `domain/key-plan.ts`. */
const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.ts'));

/** The cells of the table rows under a heading, without the code marks around the first. */
function rows(page: string, heading: string): string[][] {
  const text = read(page);
  const start = text.indexOf(`\n## ${heading}\n`);
  expect(start, `${page} has a section ${heading}`).to.be.greaterThan(-1);
  const section = text.slice(start + 1).split('\n## ', 1)[0] ?? '';
  return section
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )
    .map(([first = '', ...rest]) => [first.replaceAll('`', ''), ...rest]);
}

describe('docs/configuration.md', () => {
  it('The table of options has one row for each option, with its commands, default and help, and no other', () => {
    const expected = optionTable.map(({ name, commands, default: value, required, help }) => [
      `--${name}`,
      commands.map((command) => `\`${command}\``).join(', '),
      value === undefined ? (required ? 'required' : '') : `\`${value}\``,
      help,
    ]);
    expect(rows('docs/configuration.md', 'Options')).to.deep.equal(expected);
  });
});

describe('The reasons of src/api/reasons.ts', () => {
  const reasons: readonly (readonly [string, Reason])[] = [
    conditionReasons,
    kekReasons,
    sealReasons,
    eventReasons,
  ].flatMap((table) => Object.entries(table));

  it('Every reason is used in src/', () => {
    const code = sources.filter((file) => !file.startsWith('api/')).map((file) => read(join('src', file)));
    const dead = reasons.filter(([name]) => !code.some((text) => text.includes(`'${name}'`)));
    expect(dead.map(([name]) => name)).to.deep.equal([]);
  });

  it('Every reason has a remedy, except those of healthy conditions and of events', () => {
    const events = Object.keys(eventReasons);
    const silent = reasons.filter(([name, { remedy }]) => remedy === '' && !events.includes(name));
    expect(silent.map(([name]) => name)).to.deep.equal([
      'SigningKeyReady',
      'ServedByAllReplicas',
      'KeysDecryptable',
      'PlatformRecorded',
      'NoActionRequired',
      'UpToDate',
      'NotStalled',
      'RevocationEffective',
    ]);
  });

  it('The links in remedies lead to pages and headings that exist', () => {
    const links = reasons.flatMap(([, { remedy }]) => linksIn(remedy));
    expect(links.length).to.be.greaterThan(3);
    expect(links.filter((link) => isBroken('docs/conditions.md', link))).to.deep.equal([]);
  });
});

describe('docs/errors.md', () => {
  it('docs/errors.md quotes messages that the code logs', () => {
    const text = sources.map((file) => read(join('src', file))).join('\n');
    const quoted = rows('docs/errors.md', 'In the log').map(([message]) => message);
    expect(quoted.length).to.be.greaterThan(3);
    expect(quoted.filter((message) => !text.includes(`'${message}'`))).to.deep.equal([]);
  });

  it('docs/errors.md quotes the admission policy', () => {
    const policy = read('deploy/admission-policy.yaml').replaceAll(/\s+/g, ' ');
    const [, quoted = ''] = /## Forbidden writes\n\n`([^`]+)`/.exec(read('docs/errors.md')) ?? [];
    expect(quoted).not.to.equal('');
    expect(policy).to.include(quoted);
  });
});

describe('docs/disaster-recovery.md', () => {
  it('Every test that docs/disaster-recovery.md and docs/multi-tenancy.md cite exists under this title', () => {
    const pages = ['docs/disaster-recovery.md', 'docs/multi-tenancy.md'];
    const cited = pages.flatMap((page) => [
      ...read(page)
        .replaceAll(/\s+/g, ' ')
        .matchAll(/`(test\/[\w./-]+\.test\.ts)`: _([^_]+)_/g),
    ]);
    expect(cited.length).to.be.greaterThan(12);
    const missing = cited.filter(
      ([, file = '', title = '']) => !existsSync(join(root, file)) || !read(file).includes(title),
    );
    expect(missing.map(([citation]) => citation)).to.deep.equal([]);
  });

  it('Every row of the summary leads to a section that has proof, or says that there is none', () => {
    const text = read('docs/disaster-recovery.md');
    const summarized = [...text.matchAll(/^\| \[[^\]]+\]\(#([\w-]+)\)/gm)].map(([, anchor = '']) => anchor);
    expect(summarized).to.have.length(9);
    const proved = text.split(/^## /m).filter((section) => section.includes('- **Proof**:'));
    expect(proved.map((section) => section.split('\n', 1)[0]?.toLowerCase().replaceAll(' ', '-'))).to.deep.equal(
      summarized,
    );
  });
});

describe('Links and paths in the docs', () => {
  const pages = [root, join(root, 'docs')].flatMap((folder) =>
    readdirSync(folder, { recursive: folder !== root, encoding: 'utf8' })
      .filter((file) => file.endsWith('.md'))
      .map((file) => relative(root, join(folder, file))),
  );

  it('Every relative link of a page leads to a file and a heading that exist', () => {
    expect(pages).to.include.members(['README.md', 'CONTRIBUTING.md', 'docs/recovery.md']);
    const broken = pages.flatMap((page) =>
      linksIn(read(page))
        .filter((link) => isBroken(page, link))
        .map((link) => `${page}: ${link}`),
    );
    expect(broken).to.deep.equal([]);
  });

  it('Every path of the repository that a page or a manifest names exists', () => {
    const manifests = readdirSync(join(root, 'deploy'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.yaml'))
      .map((file) => join('deploy', file));
    const named = [...pages, ...manifests].flatMap((file) => pathsIn(read(file)).map((path) => ({ file, path })));
    expect(named.length).to.be.greaterThan(50);
    expect(named.filter(({ path }) => globSync(path, { cwd: root }).length === 0)).to.deep.equal([]);
  });

  it('Every page that a message of the operator names exists', () => {
    const named = sources.flatMap((file) => read(join('src', file)).match(/docs\/[\w/-]+\.md/g) ?? []);
    expect(named).to.include('docs/recovery.md');
    expect(named.filter((page) => !existsSync(join(root, page)))).to.deep.equal([]);
  });
});

/** The targets of relative links, as `recovery.md#the-ledger-is-lost`. */
function linksIn(text: string): string[] {
  return [...text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].map(([, target = '']) => target);
}

/** As `src/main.ts`, `src/api/*.gen.ts` or `test/unit`. */
function pathsIn(text: string): string[] {
  const paths = text.match(/(?<![\w/.-])(?:src|test|dev|bench|deploy|docs|crds|\.ci)\/[\w*/.-]*[\w*/]/g) ?? [];
  return paths.filter((path) => !path.includes('…'));
}

function isBroken(page: string, link: string): boolean {
  const [path = '', anchor] = link.split('#');
  const file = path === '' ? page : join(dirname(page), path);
  return !existsSync(join(root, file)) || (anchor !== undefined && !anchors(file).includes(anchor));
}

function anchors(file: string): string[] {
  return [...read(file).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .trim()
      .replaceAll(/\s/g, '-'),
  );
}
