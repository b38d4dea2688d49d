import { rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'chai';
import { optionTable } from '../../src/option-table.ts';
import { controlPlane, createNamespace } from '../fixtures/control-plane.ts';
import { command, eventually } from '../fixtures/command.ts';
import { buildIfStale, installOperator } from '../fixtures/installed.ts';
import { Pod } from '../fixtures/pod.ts';
import { TestRegistration } from '../fixtures/registration.ts';

function run(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [command, ...args], { encoding: 'utf8', timeout: 20_000 });
}

describe('The command line of the built commands', () => {
  before(buildIfStale);

  for (const name of ['controller', 'publisher', 'jwks'] as const) {
    it(`${name} --help lists its options and no others`, () => {
      const { status, stdout } = run(name, '--help');
      expect(status).to.equal(0);
      const listed = [...stdout.matchAll(/^ {2}--([a-z-]+)/gm)].map(([, option]) => option);
      expect(listed).to.deep.equal(
        optionTable.filter(({ commands }) => commands.includes(name)).map((option) => option.name),
      );
    });
  }

  it('The controller reports all wrong options at once, with exit code 2 and no stack trace', () => {
    const { status, stderr } = run('controller', '--resync=soon', '--metrics-address=nowhere', '--color', 'loud');
    expect(status).to.equal(2);
    const lines = stderr.trimEnd().split('\n');
    expect(lines).to.have.length(6);
    for (const part of ['--resync', '--metrics-address', '--color', '"loud"', '--kek-dir', '--publish-dir']) {
      expect(
        lines.filter((line) => line.includes(part)),
        part,
      ).to.have.length(1);
    }
    expect(stderr).not.to.match(/^\s+at /m);
  });

  it('An unknown command is refused with the list of commands', () => {
    const { status, stderr } = run('serve');
    expect(status).to.equal(2);
    expect(stderr)
      .to.match(/"serve" is not a command\./)
      .and.include('  jwks ');
  });

  it('A missing kubeconfig is reported in one line, with exit code 1', () => {
    const { status, stderr } = run(
      'controller',
      '--kek-dir=/nowhere',
      '--publish-dir=/nowhere',
      '--kubeconfig=/nowhere',
    );
    expect(status).to.equal(1);
    expect(stderr).to.match(/^lti-key-operator: .*\/nowhere/m);
    expect(stderr).not.to.match(/^\s+at /m);
  });
});

describe('A controller without its prerequisites', () => {
  let kubeconfig = '';
  let pod: Pod;
  let registration: TestRegistration;

  before(async () => {
    await buildIfStale();
    kubeconfig = await installOperator(controlPlane());
  });
  beforeEach(async () => {
    const namespace = await createNamespace('start');
    pod = await Pod.create({ kubeconfig, namespace });
    registration = new TestRegistration(controlPlane(), namespace, 'canvas');
  });
  afterEach(async () => {
    await pod.remove();
    await registration.client.close();
  });

  it('A controller without its KEK directory keeps publishing, and log, metric and condition name it', async () => {
    pod.startSidecar();
    const healthy = pod.startController();
    await pod.ready();
    await registration.apply();
    await registration.isReady();
    const served = await (await fetch(pod.registrationUrl('canvas'))).text();
    await healthy.kill();

    rmSync(pod.kekDir, { recursive: true });
    const controller = pod.startController();
    const line = await eventually('the log says so', () =>
      controller.log().find(({ reason }) => reason === 'KEKDirectoryMissing'),
    );
    expect(JSON.stringify(line)).to.include(pod.kekDir).and.include('ENOENT').and.include('--kek-dir');
    await eventually('the metrics say so', async () => {
      const metrics = await (await fetch(`${pod.controllerAdminUrl}/metrics`)).text();
      expect(metrics).to.match(/^lti_kek_available 0$/m);
      expect(metrics).to.match(/^lti_kek_error_info\{reason="KEKDirectoryMissing"\} 1$/m);
      return true;
    });
    const fault = await eventually('the condition says so', async () => {
      const condition = registration.condition('KeyMaterialAvailable', await registration.get());
      return condition?.status === 'False' ? condition : undefined;
    });
    expect(fault.message).to.include(pod.kekDir);
    expect(await (await fetch(pod.registrationUrl('canvas'))).text()).to.equal(served);
    expect((await registration.delivered())['kid']).to.equal((await registration.keys())[0]!.spec.keyID);
  });

  it('Controller and sidecar open no inspector on SIGUSR1 and keep running', async () => {
    const commands = [pod.startController(), pod.startSidecar()];
    await pod.ready();
    for (const running of commands) {
      process.kill(running.pid, 'SIGUSR1');
      // oxlint-disable-next-line no-await-in-loop
      await eventually('the log says so', () => running.log().find(({ signal }) => signal === 'SIGUSR1'));
      expect(running.output()).not.to.include('Debugger listening');
    }
    expect((await fetch(`${pod.controllerAdminUrl}/healthz`)).status).to.equal(200);
    expect((await fetch(`${pod.sidecarAdminUrl}/readyz`)).status).to.equal(200);
  });

  it('A controller without a reachable API server retries and reports it', async () => {
    const nowhere = join(pod.folder, 'nowhere.kubeconfig');
    const server = 'https://127.0.0.1:9';
    writeFileSync(
      nowhere,
      JSON.stringify({
        clusters: [{ name: 'c', cluster: { server } }],
        users: [{ name: 'u', user: { token: 'none' } }],
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
        'current-context': 'c',
      }),
    );
    const controller = pod.startController([`--kubeconfig=${nowhere}`, `--jwks-probe-url=${pod.jwksUrl}`]);
    const failures = await eventually('it says so', () => {
      const lines = controller.log().filter(({ resource, error }) => resource === 'ltikeys' && error !== undefined);
      return lines.length > 0 ? lines : undefined;
    });
    await eventually('it tries again', async () => {
      const text = await (await fetch(`${pod.controllerAdminUrl}/metrics`)).text();
      return Number(/^rest_client_requests_total\{.*code="<error>".*\} (\d+)$/m.exec(text)?.[1]) > 4;
    });
    expect(failures[0]!['error']).to.have.property('message').that.includes('the connection to the API server failed');
    expect((await fetch(`${pod.controllerAdminUrl}/healthz`)).status).to.equal(200);
    expect((await fetch(`${pod.controllerAdminUrl}/readyz`)).status).to.equal(503);
    controller.signal('SIGTERM');
    expect(await controller.exited).to.equal(0);
  });
});
