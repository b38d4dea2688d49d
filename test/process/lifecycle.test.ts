import { expect } from 'chai';
import { controlPlane, createNamespace } from '../fixtures/control-plane.ts';
import { eventually, pause, type RunningCommand } from '../fixtures/command.ts';
import { buildIfStale, installOperator } from '../fixtures/installed.ts';
import { Pod } from '../fixtures/pod.ts';
import { TestRegistration } from '../fixtures/registration.ts';
import { SafetyMonitor, type Findings } from '../fixtures/safety-monitor.ts';

/** The built commands, as the operator's own ServiceAccount, against a real API server. */
describe('The built controller and sidecar', function () {
  let kubeconfig = '';
  let pod: Pod;
  let registration: TestRegistration;

  before(async () => {
    await buildIfStale();
    kubeconfig = await installOperator(controlPlane());
  });
  beforeEach(async () => {
    const namespace = await createNamespace('process');
    pod = await Pod.create({ kubeconfig, namespace });
    registration = new TestRegistration(controlPlane(), namespace, 'canvas');
  });
  afterEach(async function () {
    if (this.currentTest?.state === 'failed') console.log(pod.output());
    await pod.remove();
    await registration.client.close();
  });

  async function running(): Promise<{ controller: RunningCommand; sidecar: RunningCommand }> {
    const sidecar = pod.startSidecar();
    const controller = pod.startController();
    await pod.ready();
    await registration.apply();
    await registration.isReady();
    return { controller, sidecar };
  }

  async function expectOneRotation({ violations, delivered, verified }: Findings): Promise<void> {
    expect(violations).to.deep.equal([]);
    expect(verified).to.be.greaterThan(10);
    const keys = await registration.keys();
    expect(keys.map(({ spec, status }) => `${spec.revision} ${status?.state}`)).to.deep.equal([
      '1 Retired',
      '2 Active',
    ]);
    expect(delivered).to.deep.equal(keys.map(({ spec }) => spec.keyID));
    const { keys: rows } = await registration.ledger();
    expect(rows.map(({ keyID }) => keyID)).to.deep.equal(keys.map(({ spec }) => spec.keyID));
  }

  it('Controller and sidecar bring a registration to Ready and serve the delivered key', async () => {
    await running();
    const [key] = await registration.keys();
    const { kid, 'registration.json': entry } = await registration.delivered();
    expect(kid).to.equal(key!.spec.keyID);
    expect(JSON.parse(entry!)).to.include({ issuer: 'https://platform.example' });
    const response = await fetch(pod.registrationUrl('canvas'));
    expect(response.headers.get('content-type')).to.equal('application/json');
    expect(await response.json()).to.deep.equal({ keys: [key!.spec.publicJWK] });
    const metrics = await (await fetch(`${pod.controllerAdminUrl}/metrics`)).text();
    expect(metrics).to.match(/^lti_registration_ready\{.*registration="canvas".*\} 1$/m);
  });

  it('Controller and sidecar shut down in order on SIGTERM: unready first, exit code 0', async () => {
    const { controller, sidecar } = await running();
    const admin = pod.sidecarAdminUrl;
    sidecar.signal('SIGTERM');
    await eventually('the sidecar is unready', async () => (await fetch(`${admin}/readyz`)).status === 503);
    expect((await fetch(pod.registrationUrl('canvas'))).status, 'while the Service forgets it').to.equal(200);
    controller.signal('SIGTERM');
    expect(await controller.exited).to.equal(0);
    expect(await sidecar.exited).to.equal(0);
    for (const each of [controller, sidecar]) {
      expect(each.log().filter(({ level }) => level === 'error')).to.deep.equal([]);
    }
  });

  for (const [when, moment] of [
    ['as soon as the next key is made', 'Active,Next'],
    ['as soon as the next key signs', 'Retiring,Active'],
    ['as soon as the old key is retired', 'Retired,Active'],
  ] as const) {
    it(`A controller that is killed ${when} loses nothing`, async () => {
      const { controller } = await running();
      const monitor = new SafetyMonitor(registration, pod.registrationUrl('canvas'));
      await registration.rotate('one');
      await registration.becomes(moment);
      await controller.kill();
      await pause(1000);
      pod.startController();
      await registration.becomes('Retired,Active');
      await registration.isReady();
      const findings = await monitor.stop();
      expect(findings.unanswered, 'the sidecar serves on').to.equal(0);
      await expectOneRotation(findings);
    });
  }

  it('A sidecar that is killed during a rotation answers 503 until a fresh sync, then every key', async () => {
    const { sidecar } = await running();
    const monitor = new SafetyMonitor(registration, pod.registrationUrl('canvas'));
    await registration.rotate('one');
    await registration.becomes('Active,Next');
    await sidecar.kill();
    pod.startSidecar();
    await pod.ready();
    await registration.becomes('Retired,Active');
    await registration.isReady();
    const findings = await monitor.stop();
    expect(findings.unanswered).to.be.greaterThan(0);
    await expectOneRotation(findings);
  });

  it('A restarted sidecar answers 503 until the controller is back, whatever was written before', async () => {
    const { controller, sidecar } = await running();
    await controller.kill();
    expect((await fetch(pod.registrationUrl('canvas'))).status, 'last good').to.equal(200);
    await sidecar.kill();
    pod.startSidecar();
    const status = async (): Promise<number> => (await fetch(pod.registrationUrl('canvas'))).status;
    expect(await eventually('it answers', status)).to.equal(503);
    await pause(1000);
    expect(await status()).to.equal(503);
    expect((await fetch(`${pod.sidecarAdminUrl}/readyz`)).status).to.equal(503);
    pod.startController();
    await pod.ready();
    expect(await status()).to.equal(200);
  });

  it('Two controllers without a lease rotate once', async () => {
    await running();
    const other = await Pod.create({ kubeconfig, namespace: registration.namespace });
    try {
      other.shareKek(pod);
      other.startController([`--jwks-probe-url=${pod.jwksUrl}`]);
      await eventually('the second is ready', async () => (await fetch(`${other.controllerAdminUrl}/readyz`)).ok);
      const monitor = new SafetyMonitor(registration, pod.registrationUrl('canvas'));
      await registration.rotate('one');
      await registration.becomes('Retired,Active');
      await registration.isReady();
      await pause(500);
      await expectOneRotation(await monitor.stop());
    } finally {
      await other.remove();
    }
  });
});
