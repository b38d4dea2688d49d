import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { keyConditions, reasons, registrationConditions } from '../src/api/conditions.ts';
import { optionTable } from '../src/config.ts';

/** Docs and code say the same, both ways. The metrics are compared in test/unit/observability/metrics-docs.test.ts. */

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

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
  it('has one row for each option, with its commands, default and help, and no other', () => {
    const expected = optionTable.map(({ name, commands, default: value, required, help }) => [
      `--${name}`,
      commands.map((command) => `\`${command}\``).join(', '),
      value === undefined ? (required ? 'required' : '') : `\`${value}\``,
      help,
    ]);
    expect(rows('docs/configuration.md', 'Options')).to.deep.equal(expected);
  });
});

describe('docs/conditions.md', () => {
  for (const [heading, table] of [
    ['Conditions of an LtiRegistration', registrationConditions],
    ['Conditions of an LtiKey', keyConditions],
  ] as const) {
    it(`has what True and False mean for the ${heading}, and no other type`, () => {
      const expected = Object.entries(table).map(([type, meaning]) => [type, meaning.true, meaning.false]);
      expect(rows('docs/conditions.md', heading)).to.deep.equal(expected);
    });
  }

  it('has every reason with its meaning, and no other', () => {
    const documented = rows('docs/conditions.md', 'Reasons').map(([reason, meaning]) => [reason, meaning]);
    expect(documented).to.deep.equal(Object.entries(reasons));
  });

  for (const [heading, file] of [
    ['Reasons of key-encryption keys', 'src/crypto/kek-error.ts'],
    ['Reasons of sealed keys', 'src/crypto/seal-error.ts'],
  ] as const) {
    it(`has every one of the ${heading}, and no other`, () => {
      const [, union = ''] = /type \w+Reason =([^;]+);/.exec(read(file)) ?? [];
      const declared = [...union.matchAll(/'(\w+)'/g)].map(([, reason]) => reason);
      expect(declared).not.to.deep.equal([]);
      expect(rows('docs/conditions.md', heading).map(([reason]) => reason)).to.deep.equal(declared);
    });
  }

  it('says what to do about every reason that is somebody’s to clear', () => {
    const clears = /^(?!KeySigns|Served|KeysOpen|NothingToDo|Settled|NoObstacle|RevocationEffective|DeletionUnderWay)/;
    const all = ['Reasons', 'Reasons of key-encryption keys', 'Reasons of sealed keys'];
    const silent = all
      .flatMap((heading) => rows('docs/conditions.md', heading))
      .filter(([reason = '', , remedy]) => clears.test(reason) && remedy === '');
    expect(silent).to.deep.equal([]);
  });

  it('has every reason that events of a key’s life have, and no other', () => {
    const source = read('src/controllers/ltiregistration/apply.ts');
    const [, set = ''] = /announced[^[]*\[[^[]*\[([^\]]*)\]/.exec(source) ?? [];
    const announced = [...set.matchAll(/'(\w+)'/g)].map(([, reason]) => reason);
    const direct = [...source.matchAll(/'Normal', '(\w+)'/g)].map(([, reason]) => reason);
    expect(announced).not.to.deep.equal([]);
    expect(rows('docs/conditions.md', 'Events').map(([reason]) => reason)).to.have.members([...announced, ...direct]);
  });
});

describe('docs/errors.md', () => {
  it('quotes messages that the log has', () => {
    const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((f) =>
      f.endsWith('.ts'),
    );
    const text = sources.map((file) => read(join('src', file))).join('\n');
    const quoted = rows('docs/errors.md', 'In the log').map(([message]) => message);
    expect(quoted.length).to.be.greaterThan(3);
    expect(quoted.filter((message) => !text.includes(`'${message}'`))).to.deep.equal([]);
  });

  it('quotes the admission policy', () => {
    const policy = read('deploy/admission-policy.yaml').replaceAll(/\s+/g, ' ');
    const [, quoted = ''] = /## Forbidden writes\n\n`([^`]+)`/.exec(read('docs/errors.md')) ?? [];
    expect(quoted).not.to.equal('');
    expect(policy).to.include(quoted);
  });
});

describe('Links between pages', () => {
  const pages = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => join('docs', file));

  it('lead to files and headings that exist', () => {
    const broken: string[] = [];
    for (const page of pages) {
      for (const [, target = ''] of read(page).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
        const [path = '', anchor] = target.split('#');
        const file = path === '' ? page : join(dirname(page), path);
        if (!existsSync(join(root, file))) broken.push(`${page}: ${target}`);
        else if (anchor !== undefined && !anchors(file).includes(anchor)) broken.push(`${page}: ${target}`);
      }
    }
    expect(broken).to.deep.equal([]);
  });

  it('that messages of the operator name lead to pages that exist', () => {
    const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((f) =>
      f.endsWith('.ts'),
    );
    const named = sources.flatMap((file) => read(join('src', file)).match(/docs\/[\w/-]+\.md/g) ?? []);
    expect(named).to.include('docs/recovery.md');
    expect(named.filter((page) => !existsSync(join(root, page)))).to.deep.equal([]);
  });

  function anchors(file: string): string[] {
    return [...read(file).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\w\s-]/g, '')
        .trim()
        .replaceAll(/\s/g, '-'),
    );
  }
});
