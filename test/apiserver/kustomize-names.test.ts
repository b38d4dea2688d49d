import { expect } from 'chai';
import { canarySecretName, operatorName } from '../../src/api/names.ts';
import { controlPlane } from '../fixtures/control-plane.ts';
import { type Operator, startOperator } from '../fixtures/operator.ts';
import { apply, type Manifest, render } from '../fixtures/rendered.ts';
import { eventually, Tenant } from '../fixtures/tenant.ts';

interface Container {
  readonly args: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
}

const only = (rendered: readonly Manifest[], kind: string): Manifest => {
  const found = rendered.filter((each) => each.kind === kind);
  expect(found, kind).to.have.length(1);
  return found[0]!;
};

describe('A kustomization with a namespace, namePrefix and nameSuffix', () => {
  for (const [names, service] of [
    [{}, 'lti-key-operator-jwks'],
    [{ namespace: 'keys-system' }, 'lti-key-operator-jwks'],
    [{ namespace: 'keys-system', namePrefix: 'acme-' }, 'acme-lti-key-operator-jwks'],
    [{ namespace: 'keys-system', nameSuffix: '-blue' }, 'lti-key-operator-jwks-blue'],
    [{ namespace: 'keys-system', namePrefix: 'acme-', nameSuffix: '-blue' }, 'acme-lti-key-operator-jwks-blue'],
  ] as const) {
    it(`A kustomization with ${JSON.stringify(names)} has the controller probe the Service ${service}`, async () => {
      const rendered = await render(names);
      expect(only(rendered, 'Service').metadata.name).to.equal(service);
      const { template } = only(rendered, 'Deployment')['spec'] as {
        readonly template: { readonly spec: { readonly containers: readonly Container[] } };
      };
      const [controller] = template.spec.containers;
      // As the kubelet replaces what args name of env.
      const args = controller?.args.map((arg) =>
        arg.replaceAll(/\$\((\w+)\)/g, (_, name) => controller.env?.find((each) => each.name === name)?.value ?? '?'),
      );
      expect(args).to.include(`--jwks-service=${service}`);
      const rules = only(rendered, 'Role')['rules'] as readonly { readonly resourceNames?: readonly string[] }[];
      const fixed = rules.flatMap(({ resourceNames = [] }) => resourceNames);
      expect(fixed, 'names that the program knows').to.deep.equal([operatorName, canarySecretName]);
    });
  }
});

describe('--jwks-service', () => {
  let tenant: Tenant;
  let operator: Operator;
  before(async () => {
    tenant = await Tenant.inNewNamespace('service');
    operator = await startOperator({ namespaces: [tenant.namespace], jwksService: 'acme-jwks' });
  });
  after(async () => {
    await operator.stop();
    await tenant.leave();
    const all = ['delete', 'endpointslices', '--namespace=lti-key-operator', '--selector=app=names-test'];
    await controlPlane().kubectlRun(all);
  });

  /** Of no machine: RFC 5737. */
  const sliceOf = (service: string, address: string): object => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: service,
      namespace: 'lti-key-operator',
      labels: { 'kubernetes.io/service-name': service, app: 'names-test' },
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
  });

  it('The operator probes only the endpoints of the Service that --jwks-service names', async () => {
    await apply([sliceOf('acme-jwks', '192.0.2.1'), sliceOf('lti-key-operator-jwks', '192.0.2.2')]);
    await tenant.apply('canvas', {});
    await eventually(async () => {
      const { message } = (await tenant.condition('canvas', 'Reconciling')) ?? {};
      expect(message).to.contain('http://192.0.2.1:8080').and.not.contain('192.0.2.2');
    });
  });
});
