import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { expect } from 'chai';
import { freePorts } from '../../dev/control-plane/ports.ts';
import { findPrometheusProgram } from '../../dev/dashboards/prometheus-package.ts';
import { kubeconfigVariable } from '../../dev/control-plane/existing.ts';
import { buildIfStale } from '../fixtures/installed.ts';
import { eventually } from '../fixtures/command.ts';

const root = join(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/getting-started.md'), 'utf8');

/** The shell blocks by the heading that they are under. */
const blocks = new Map(
  page
    .split(/^##+ /m)
    .map((section): [string, readonly string[]] => [
      section.split('\n', 1)[0]!,
      [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, script = '']) => script),
    ]),
);
const block = (heading: string, index = 0): string => {
  const script = blocks.get(heading)?.[index];
  expect(script, `block ${index} under ${heading}`).to.be.a('string');
  return script!;
};

/** Blocks that need a container runtime, nodes, or the internet. They are marked on the page. */
const notRun = [
  block('Without a cluster'),
  block('With kind or minikube', 0),
  block('With kind or minikube', 3),
  block('7. Look at a dashboard'),
];

/**
 * The page is followed as printed, in one folder that looks like a checkout, with the operator that `npm run operator` starts.
 * Only the port of Prometheus is another one.
 */
describe('docs/getting-started.md', function () {
  this.timeout(300_000);
  const folder = mkdtempSync(join(tmpdir(), 'getting-started-'));
  const run = new Set<string>();
  const children: ChildProcess[] = [];
  let environment: NodeJS.ProcessEnv = {};
  let prometheusPort = 0;

  before(async () => {
    await buildIfStale();
    for (const name of ['crds', 'deploy']) symlinkSync(join(root, name), join(folder, name));
    [prometheusPort = 0] = await freePorts(1);
    const printed = await startOperator();
    const exported = [...printed.matchAll(/^ {2}export (\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [
      name,
      value.replace('$PATH', process.env['PATH'] ?? ''),
    ]);
    expect(exported.map(([name]) => name)).to.deep.equal(['KUBECONFIG', 'PATH', 'CONTROLLER', 'JWKS']);
    environment = { ...process.env, ...Object.fromEntries(exported) };
  });
  after(async () => {
    await Promise.all(children.map(stop));
    rmSync(folder, { recursive: true, force: true });
  });

  /** Starts what `npm run operator` does; resolves with what it printed. */
  async function startOperator(): Promise<string> {
    const args = [join(root, 'dev/control-plane/main.ts'), '--operator'];
    const env = { ...process.env, [kubeconfigVariable]: '' };
    const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    children.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await eventually(
      'npm run operator says how to use it',
      () => {
        if (child.exitCode !== null) throw new Error(output);
        return output.includes('Ctrl-C stops it');
      },
      120_000,
    );
    expect(output, 'progress').to.match(/^Starting etcd .*\nInstalling and starting the operator\n/);
    return output;
  }

  function shell(script: string): ChildProcess {
    run.add(script);
    const here = script.replaceAll('127.0.0.1:9095', `127.0.0.1:${prometheusPort}`);
    return spawn('sh', ['-euc', here], { cwd: folder, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Resolves with the standard output. */
  async function follow(...scripts: readonly string[]): Promise<string> {
    const script = scripts.join('\n');
    for (const each of scripts) run.add(each);
    const child = shell(script);
    let output = '';
    let errors = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    expect(code, `${script}\n${output}${errors}`).to.equal(0);
    return output;
  }

  it('The installation on kind is accepted by the API server, and its objects are those of deploy/ with one replica', async () => {
    // The operator of this test is installed already, without its Deployment; the Secret with its KEK is new.
    await follow(block('With kind or minikube', 1), block('With kind or minikube', 2));
    const shown = await follow(
      'kubectl get deployment lti-key-operator --namespace lti-key-operator --output jsonpath="{.spec.replicas} {.spec.template.spec.containers[0].args}"',
    );
    expect(shown).to.match(/^1 /).and.to.include('--jwks-public-url=http://localhost:8080');
    expect(await follow(block('With kind or minikube', 4), 'echo $CONTROLLER')).to.include('localhost:8082');
  });

  it('The registration is Ready, and its key is in the key set and in the Secret', async () => {
    expect(await follow(block('2. Register the tool'))).to.match(/canvas +True +Ready +canvas-1/);
    const answer = await follow(block('3. See what the platform fetches'));
    expect(answer).to.match(/^cache-control: /im);
    const { keys }: { keys: readonly { kid: string }[] } = JSON.parse(answer.split(/\r?\n\r?\n/)[1] ?? '');
    const files = await follow(block('4. See what the tool gets'));
    expect(files)
      .to.include(`${keys[0]?.kid}`)
      .and.to.match(/"issuer": ?"https:\/\/canvas\.instructure\.com"/);
    expect(files).not.to.include('PRIVATE');
  });

  it('The rotation publishes the next key, lets it sign, and retires the old one', async () => {
    const states = (output: string): readonly string[] =>
      [...output.matchAll(/^(canvas-\d) +canvas +(\w+)/gm)].map(([, name, state]) => `${name} ${state}`);
    const [url = ''] = block('3. See what the platform fetches').split('\n');
    expect(states(await follow(block('5. Watch a rotation', 0)))).to.deep.equal(['canvas-1 Active', 'canvas-2 Next']);
    const during = await follow(url, block('5. Watch a rotation', 1));
    expect(states(during)).to.deep.equal(['canvas-1 Retiring', 'canvas-2 Active']);
    expect(during.match(/"kid"/g)).to.have.length(2);
    const after = await follow(block('5. Watch a rotation', 2));
    expect(states(after)).to.deep.equal(['canvas-1 Retired', 'canvas-2 Active']);
    expect(after).to.include('KeyActivated');
  });

  it('The alert fires after the mistake and resolves after the correction', async () => {
    const heading = '6. See an alert fire and resolve';
    await follow(block(heading, 0));
    const prometheus = findPrometheusProgram('prometheus');
    environment = { ...environment, PATH: `${join(prometheus, '..')}${delimiter}${environment['PATH']}` };
    children.push(shell(`exec ${block(heading, 1)}`));
    run.add(block(heading, 1));
    await follow(block(heading, 2));
    const firing = async (): Promise<boolean> =>
      (await follow(block(heading, 3))).includes('LTIUnknownRevokedKeyID canvas firing');
    await eventually('the alert fires', firing);
    expect(await follow(block(heading, 4))).to.include('spec.revokedKeyIDs[0]');
    await follow(block(heading, 5));
    await eventually('the alert resolves', async () => !(await follow(block(heading, 3))).includes('LTIUnknown'));
  });

  it('The query of the page has data', async () => {
    const [, query = ''] = /^```promql\n(.*)\n```$/m.exec(page) ?? [];
    const url = `http://127.0.0.1:${prometheusPort}/api/v1/query?query=${encodeURIComponent(query)}`;
    await eventually('the query has data', async () => {
      const { data } = (await (await fetch(url)).json()) as { data: { result: readonly object[] } };
      return data.result.length === 1;
    });
  });

  it('The page removes every file that it wrote, and all its commands were run except those that it marks', async () => {
    await follow(block('8. Clean up'), 'test "$(echo *)" = "crds deploy"');
    const all = [...blocks.values()].flat();
    expect(all.filter((script) => !run.has(script))).to.deep.equal(notRun);
    // The rule itself, and three of the blocks; the first of them is run in another form.
    expect(page.match(/_not tested_/g)).to.have.length(notRun.length);
  });
});

/** SIGTERM, and resolves when it is gone. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.on('exit', resolve));
  child.kill('SIGTERM');
  await gone;
}
