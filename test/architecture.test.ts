import { readdirSync, readFileSync } from 'node:fs';
import { join, posix, relative } from 'node:path';
import { expect } from 'chai';

/** The import rules of the diagram in CONTRIBUTING.md. */

const source = join(import.meta.dirname, '../src');

interface SourceFile {
  /** As `domain/key-plan.ts`. */
  readonly path: string;
  readonly text: string;
  /** Without comments. */
  readonly code: string;
  readonly imports: readonly Import[];
}

interface Import {
  /** A path under src/ for a relative import, else the package. */
  readonly from: string;
  readonly typeOnly: boolean;
  /** Whether it is loaded when a statement runs, instead of with the file. */
  readonly dynamic: boolean;
}

const files: readonly SourceFile[] = readdirSync(source, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => {
    const path = relative(source, join(entry.parentPath, entry.name));
    const text = readFileSync(join(source, path), 'utf8');
    const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '$1');
    return { path, text, code, imports: importsOf(path, code) };
  });

function importsOf(path: string, code: string): Import[] {
  const statement =
    /^(?:import|export)\s+(?<type>type\s)?[^'";]*?\bfrom\s+'(?<from>[^']+)'|\bimport\('(?<dynamic>[^']+)'\)|^import\s+'(?<bare>[^']+)'/gm;
  return [...code.matchAll(statement)].map(({ groups }) => {
    const { type, from, dynamic, bare } = groups ?? {};
    const named = from ?? dynamic ?? bare ?? '';
    const resolved = named.startsWith('.') ? posix.join(posix.dirname(path), named) : named;
    return { from: resolved, typeOnly: type !== undefined, dynamic: dynamic !== undefined };
  });
}

const isIn =
  (...folders: readonly string[]) =>
  ({ path }: { path: string }): boolean =>
    folders.some((folder) => path.startsWith(`${folder}/`));

/** `file: what` for everything that `violates` in the files of `room`. */
function violations(room: (file: SourceFile) => boolean, violates: (imported: Import) => boolean): string[] {
  return files
    .filter(room)
    .flatMap(({ path, imports }) => imports.filter(violates).map(({ from }) => `${path} imports ${from}`));
}

function uses(room: (file: SourceFile) => boolean, pattern: RegExp): string[] {
  return files
    .filter(room)
    .flatMap(({ path, code }) => [...code.matchAll(pattern)].map(([what]) => `${path}: ${what}`));
}

describe('The architecture of src/', () => {
  it('The scan finds the files and their imports', () => {
    expect(files.length).to.be.greaterThan(60);
    const reconcile = files.find(({ path }) => path === 'controller/reconcile.ts');
    expect(reconcile?.imports).to.deep.include({ from: 'domain/decide.ts', typeOnly: false, dynamic: false });
    const decide = files.find(({ path }) => path === 'domain/decide.ts');
    expect(decide?.imports).to.deep.include({ from: 'api/objects.ts', typeOnly: true, dynamic: false });
    const main = files.find(({ path }) => path === 'main.ts');
    expect(main?.imports).to.deep.include({ from: 'controller/run.ts', typeOnly: false, dynamic: true });
  });

  it('domain/ imports only domain/, api/ and pure functions', () => {
    // They compute from their arguments and do nothing else.
    const pure: ReadonlySet<string> = new Set(['node:buffer', 'node:util', 'croner', 'lib/json-object.ts']);
    const foreign = ({ from }: Import): boolean => !/^(domain|api)\//.test(from) && !pure.has(from);
    expect(violations(isIn('domain'), foreign)).to.deep.equal([]);
  });

  it('domain/ uses no clock, randomness, promise or environment', () => {
    const impure =
      /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bset(?:Timeout|Interval|Immediate)\b|\bperformance\b|\bcrypto\b|\bprocess\.|\bPromise\b|\basync\b|\bawait\b|\bfetch\(/g;
    expect(uses(isIn('domain'), impure)).to.deep.equal([]);
  });

  it('api/ imports only api/ and the types of Kubernetes objects', () => {
    const foreign = ({ from, typeOnly }: Import): boolean =>
      !from.startsWith('api/') && !(typeOnly && from === 'kube/objects.ts');
    expect(violations(isIn('api'), foreign)).to.deep.equal([]);
  });

  it('Only kube/ imports the Kubernetes client', () => {
    const client = ({ from }: Import): boolean => from.startsWith('@kubernetes/');
    expect(violations((file) => !isIn('kube')(file), client)).to.deep.equal([]);
    expect(violations(isIn('kube'), client)).not.to.deep.equal([]);
  });

  it('kube/ and crypto/ import nothing from controller/, publish/ or jwks/', () => {
    expect(violations(isIn('kube', 'crypto'), ({ from }) => /^(controller|publish|jwks)\//.test(from))).to.deep.equal(
      [],
    );
    expect(violations(isIn('kube'), ({ from }) => from.startsWith('crypto/'))).to.deep.equal([]);
    const kubernetes = ({ from }: Import): boolean => from.startsWith('kube/') && from !== 'kube/objects.ts';
    expect(violations(isIn('crypto'), kubernetes)).to.deep.equal([]);
  });

  it('publish/ and jwks/ cannot reach a private key', () => {
    expect(violations(isIn('publish', 'jwks'), ({ from }) => /^(crypto|controller)\//.test(from))).to.deep.equal([]);
    expect(violations(isIn('jwks'), ({ from }) => /^(kube|publish)\//.test(from))).to.deep.equal([]);
  });

  it('cli/ imports no part of the operator that runs in a Pod', () => {
    expect(
      violations(isIn('cli'), ({ from }) => /^(controller|publish|jwks|observability)\//.test(from)),
    ).to.deep.equal([]);
    expect(
      violations(
        (file) => !isIn('cli')(file) && file.path !== 'kubectl-lti.ts',
        ({ from }) => from.startsWith('cli/'),
      ),
    ).to.deep.equal([]);
  });

  it('development/ serves and delivers without access to a cluster, and only cli/ imports it', () => {
    expect(
      violations(isIn('development'), ({ from }) => /^(controller|publish|kube|cli|observability)\//.test(from)),
    ).to.deep.equal([]);
    const others = (file: SourceFile): boolean => !isIn('development', 'cli')(file);
    expect(violations(others, ({ from }) => from.startsWith('development/'))).to.deep.equal([]);
  });

  it('observability/ imports only types of what it observes, and domain/ and api/ do not import it', () => {
    const watched = ({ from, typeOnly }: Import): boolean =>
      !typeOnly && /^(controller|kube|crypto|publish|jwks)\//.test(from);
    expect(violations(isIn('observability'), watched)).to.deep.equal([]);
    expect(violations(isIn('domain', 'api'), ({ from }) => from.startsWith('observability/'))).to.deep.equal([]);
  });

  it('Only main.ts and kubectl-lti.ts see arguments, environment, signals and the exit', () => {
    const processes = /\bprocess\.(?:argv|env|exit|exitCode|on|once|kill|chdir|stdout|stderr|stdin)\b/g;
    const entryPoints = ['main.ts', 'kubectl-lti.ts'];
    expect(uses(({ path }) => !entryPoints.includes(path), processes)).to.deep.equal([]);
    expect(uses(({ path }) => path === 'main.ts', processes)).to.include('main.ts: process.argv');
  });

  it('kubectl-lti.ts loads nothing that needs a new Node before it has checked the version', () => {
    const entry = ({ path }: SourceFile): boolean => path === 'kubectl-lti.ts';
    const runsAnywhere: ReadonlySet<string> = new Set(['lib/clock.ts', 'lib/node-version.ts']);
    const early = ({ from, dynamic }: Import): boolean =>
      !dynamic && !from.startsWith('node:') && !runsAnywhere.has(from);
    expect(violations(entry, early)).to.deep.equal([]);
    expect(
      violations(
        (file) => runsAnywhere.has(file.path),
        () => true,
      ),
    ).to.deep.equal([]);
  });

  it('The reading path README.md, reconcile.ts, decide.ts, key-policies.ts has fewer than 500 lines', () => {
    const path = ['../README.md', 'controller/reconcile.ts', 'domain/decide.ts', 'domain/key-policies.ts'];
    const texts = path.map((file) => readFileSync(join(source, file), 'utf8'));
    expect(texts.reduce((sum, text) => sum + lines(text), 0)).to.be.lessThan(500);
  });

  it('No file of src/ has more than 250 lines, except generated files and the table of reasons', () => {
    const written = files.filter(({ path }) => !path.endsWith('.gen.ts') && path !== 'api/reasons.ts');
    const long = written.filter(({ text }) => lines(text) > 250);
    expect(long.map(({ path, text }) => `${path}: ${lines(text)} lines`)).to.deep.equal([]);
  });

  it('No file is a barrel, and file names are in kebab case', () => {
    expect(
      files.map(({ path }) => path).filter((path) => !/^([a-z0-9-]+\/)*[a-z0-9-]+(\.gen)?\.ts$/.test(path)),
    ).to.deep.equal([]);
    const vague = files
      .map(({ path }) => path)
      .filter((path) => /(^|\/)(index|utils?|helpers?|common)(\.ts|\/)/.test(path));
    expect(vague).to.deep.equal([]);
  });

  it('Every relative import names a file that exists', () => {
    const known = new Set(files.map(({ path }) => path));
    const relativeOnes = files.flatMap(({ path, imports }) =>
      imports.filter(({ from }) => from.endsWith('.ts')).map(({ from }) => ({ path, from })),
    );
    expect(relativeOnes.filter(({ from }) => !known.has(from))).to.deep.equal([]);
  });
});

describe('The architecture of test/', () => {
  it('Tests import from other folders of test/ only what is in fixtures/, builders/ or fakes/', () => {
    const tests = import.meta.dirname;
    const areas = ['apiserver', 'faults', 'kms', 'process', 'unit'];
    const offending = areas.flatMap((area) =>
      readdirSync(join(tests, area), { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.ts'))
        .map((file) => posix.join(area, file))
        .flatMap((path) =>
          importsOf(path, readFileSync(join(tests, path), 'utf8'))
            .filter(({ from }) => areas.some((other) => other !== area && from.startsWith(`${other}/`)))
            .map(({ from }) => `${path} imports ${from}`),
        ),
    );
    expect(offending).to.deep.equal([]);
  });
});

function lines(text: string): number {
  return text.trimEnd().split('\n').length;
}
