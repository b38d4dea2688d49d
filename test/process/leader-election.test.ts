import { expect } from 'chai';
import { leases, operatorName } from '../../src/api/names.ts';
import type { Lease } from '../../src/kube/lease.ts';
import { controlPlane, createNamespace } from '../fixtures/control-plane.ts';
import { eventually, type RunningCommand } from '../fixtures/command.ts';
import { buildIfStale, installOperator } from '../fixtures/installed.ts';
import { Pod } from '../fixtures/pod.ts';
import { TestRegistration } from '../fixtures/registration.ts';
import { SafetyMonitor } from '../fixtures/safety-monitor.ts';

describe('Two controllers with --leader-elect', () => {
  let first: Pod;
  let second: Pod;
  let registration: TestRegistration;

  before(async () => {
    await buildIfStale();
    const kubeconfig = await installOperator(controlPlane());
    const namespace = await createNamespace('leader');
    registration = new TestRegistration(controlPlane(), namespace, 'canvas');
    [first, second] = await Promise.all([Pod.create({ kubeconfig, namespace }), Pod.create({ kubeconfig, namespace })]);
    second.shareKek(first);
  });
  after(async () => {
    await Promise.all([first.remove(), second.remove()]);
    await registration.client.close();
  });

  it('Of two controllers one leads and both publish, the other takes over after SIGKILL, and SIGTERM releases the Lease', async () => {
    const options = ['--leader-elect', `--jwks-probe-url=${first.jwksUrl}`, `--jwks-probe-url=${second.jwksUrl}`];
    for (const pod of [first, second]) pod.startSidecar();
    const leader = first.startController(options);
    await eventually('the first leads', () => leads(leader));
    const follower = second.startController(options);
    await registration.apply();
    await registration.isReady();
    expect(leads(follower)).to.equal(false);
    await reports({ leader: first, standby: second });
    const key = (await registration.keys())[0]!.spec.keyID;
    for (const pod of [first, second]) expect(await servedBy(pod)).to.deep.equal([key]);

    const monitor = new SafetyMonitor(registration, second.registrationUrl('canvas'));
    await registration.rotate('one');
    await registration.becomes('Active,Next');
    await leader.kill();
    // The Lease lasts 15 s; a candidate checks it every 2 to 4.4 s.
    await eventually('the other one leads', () => leads(follower));
    // As the kubelet does. Until then the first sidecar serves what it had, and a key it lacks may not sign.
    first.startController(options);
    await registration.becomes('Retired,Active');
    await reports({ leader: second, standby: first });
    const { violations, delivered, verified } = await monitor.stop();
    expect(violations).to.deep.equal([]);
    expect(verified).to.be.greaterThan(10);
    expect(delivered).to.deep.equal((await registration.keys()).map(({ spec }) => spec.keyID));

    const held = await holder();
    expect(held).to.not.equal('');
    follower.signal('SIGTERM');
    expect(await follower.exited).to.equal(0);
    // The first, which was started again, may have taken the Lease by now.
    expect(await holder(), 'released').to.not.equal(held);
  });

  async function holder(): Promise<string> {
    const { spec } = await registration.client.get<Lease>(leases, 'lti-key-operator', operatorName);
    return spec?.holderIdentity ?? '';
  }

  function leads(controller: RunningCommand): boolean {
    return controller.log().some(({ message }) => message === 'became leader');
  }

  /** Whether the registration is Ready, only the leader says. */
  async function reports({ leader, standby }: { leader: Pod; standby: Pod }): Promise<void> {
    await eventually('only the leader reports the registration', async () => {
      const texts = await Promise.all(
        [leader, standby].map(async (pod) => (await fetch(`${pod.controllerAdminUrl}/metrics`)).text()),
      );
      const series = texts.map((text) => text.match(/^lti_registration_ready\{/gm)?.length ?? 0);
      expect(series).to.deep.equal([1, 0]);
      return true;
    });
  }

  async function servedBy(pod: Pod): Promise<readonly string[]> {
    const { keys } = (await (await fetch(pod.registrationUrl('canvas'))).json()) as { keys: { kid: string }[] };
    return keys.map(({ kid }) => kid);
  }
});
