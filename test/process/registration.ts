import type { ControlPlane } from '../../dev/control-plane/control-plane.ts';
import { ledgerEntry, ledgerSecretName, ltiKeys, ltiRegistrations, secrets } from '../../src/api/names.ts';
import type { LtiKey, LtiRegistration } from '../../src/api/objects.ts';
import { parseLedger } from '../../src/domain/ledger-format.ts';
import type { Ledger } from '../../src/domain/ledger.ts';
import { KubeClient } from '../../src/kube/client.ts';
import type { Secret } from '../../src/kube/objects.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { eventually } from './command.ts';
import { kubectl } from './installed.ts';

/** One registration with durations of seconds, as tests apply it and look at it: as the administrator. */
export class TestRegistration {
  readonly plane: ControlPlane;
  readonly namespace: string;
  readonly name: string;
  readonly client: KubeClient;

  constructor(plane: ControlPlane, namespace: string, name: string) {
    this.plane = plane;
    this.namespace = namespace;
    this.name = name;
    this.client = KubeClient.load({ kubeconfig: plane.kubeconfig, clock: systemClock });
  }

  get deliverySecretName(): string {
    return `${this.name}-signing-key`;
  }

  async apply(spec: object = {}): Promise<void> {
    const manifest = {
      apiVersion: 'ltikeys.dev/v1alpha1',
      kind: 'LtiRegistration',
      metadata: { name: this.name, namespace: this.namespace },
      spec: {
        issuer: 'https://platform.example',
        rotateAfter: '1h',
        activationDelay: '2s',
        overlap: '2s',
        delivery: { secretName: this.deliverySecretName },
        ...spec,
      },
    };
    await kubectl(this.plane, ['apply', '--filename', '-'], JSON.stringify(manifest));
  }

  /** Asks for one rotation, as a change in Git does. */
  async rotate(trigger: string): Promise<void> {
    const patch = JSON.stringify({ spec: { rotationTrigger: trigger } });
    const target = ['ltiregistration', this.name, '--namespace', this.namespace];
    await kubectl(this.plane, ['patch', ...target, '--type=merge', '--patch', patch]);
  }

  get(): Promise<LtiRegistration> {
    return this.client.get<LtiRegistration>(ltiRegistrations, this.namespace, this.name);
  }

  condition(type: string, object: LtiRegistration): { status: string; reason: string; message: string } | undefined {
    return object.status?.conditions?.find((condition) => condition.type === type);
  }

  async keys(): Promise<readonly LtiKey[]> {
    const { items } = await this.client.list<LtiKey>(ltiKeys, { namespace: this.namespace });
    return items
      .filter(({ spec }) => spec.registrationRef.name === this.name)
      .toSorted((a, b) => a.spec.revision - b.spec.revision);
  }

  secret(name: string): Promise<Secret> {
    return this.client.get<Secret>(secrets, this.namespace, name);
  }

  ledgerSecret(): Promise<Secret> {
    return this.secret(ledgerSecretName(this.name));
  }

  async ledger(): Promise<Ledger> {
    const { data } = await this.ledgerSecret();
    return parseLedger(Buffer.from(data![ledgerEntry]!, 'base64').toString(), this.namespace, this.name);
  }

  /** The delivered signing key as the tool reads it. */
  async delivered(): Promise<Readonly<Record<string, string>>> {
    const { data } = await this.secret(this.deliverySecretName);
    return Object.fromEntries(
      Object.entries(data ?? {}).map(([name, value]) => [name, Buffer.from(value, 'base64').toString()]),
    );
  }

  /** States by revision, as `Retired,Active`. */
  async states(): Promise<string> {
    return (await this.keys()).map(({ status }) => status?.state ?? '-').join();
  }

  async becomes(states: string, withinMs = 20_000): Promise<void> {
    let last = '';
    await eventually(
      `the keys of ${this.name} become ${states}`,
      async () => {
        const now = await this.states();
        if (now !== last && now !== states) last = now;
        if (now !== states) throw new Error(`they are ${now}`);
        return true;
      },
      withinMs,
    );
  }

  async isReady(withinMs = 20_000): Promise<void> {
    await eventually(
      `${this.name} is Ready`,
      async () => {
        const ready = this.condition('Ready', await this.get());
        if (ready?.status !== 'True') throw new Error(`${ready?.reason}: ${ready?.message}`);
        return true;
      },
      withinMs,
    );
  }
}
