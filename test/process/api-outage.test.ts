import { expect } from 'chai';
import type { ControlPlane } from '../../dev/control-plane/control-plane.ts';
import { startControlPlane } from '../../dev/control-plane/start.ts';
import { pause } from '../fixtures/command.ts';
import { buildIfStale, installOperator, kubectl } from '../fixtures/installed.ts';
import { Pod } from '../fixtures/pod.ts';
import { TestRegistration } from '../fixtures/registration.ts';
import { SafetyMonitor } from '../fixtures/safety-monitor.ts';

/** On a control plane of its own, for other tests need theirs to stay up. */
describe('An API server outage during a rotation', () => {
  let plane: ControlPlane;
  let pod: Pod;
  let registration: TestRegistration;

  before(async () => {
    await buildIfStale();
    plane = await startControlPlane();
    const kubeconfig = await installOperator(plane);
    await kubectl(plane, ['create', 'namespace', 'outage']);
    pod = await Pod.create({ kubeconfig, namespace: 'outage' });
    registration = new TestRegistration(plane, 'outage', 'canvas');
  });
  after(async () => {
    await pod.remove();
    await registration.client.close();
    await plane.stop();
  });

  it('An API server outage delays the rotation, and the sidecar keeps serving', async () => {
    pod.startSidecar();
    const controller = pod.startController();
    await pod.ready();
    await registration.apply();
    await registration.isReady();
    const before = await (await fetch(pod.registrationUrl('canvas'))).json();
    const monitor = new SafetyMonitor(registration, pod.registrationUrl('canvas'));

    await registration.rotate('one');
    await registration.becomes('Active,Next');
    await plane.apiServer.kill();
    await pause(3000);
    const during = (await (await fetch(pod.registrationUrl('canvas'))).json()) as { keys: object[] };
    expect(during.keys).to.deep.include((before as typeof during).keys[0]);
    expect((await fetch(`${pod.sidecarAdminUrl}/readyz`)).status).to.equal(200);
    await plane.apiServer.start();

    await registration.becomes('Retired,Active');
    await registration.isReady();
    const { violations, delivered } = await monitor.stop();
    expect(violations).to.deep.equal([]);
    expect(delivered).to.deep.equal((await registration.keys()).map(({ spec }) => spec.keyID));
    controller.signal('SIGTERM');
    expect(await controller.exited, 'the same process all along').to.equal(0);
  });
});
