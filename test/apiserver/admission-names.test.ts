import { expect } from 'chai';
import { expectRefused, InstalledPolicies, ltiKey, type Names, run, secret } from '../fixtures/admission.ts';
import { createNamespace } from '../fixtures/control-plane.ts';

const why = 'only the LTI key operator writes LtiKeys';

describe('The admission policies under custom names', () => {
  let beds: InstalledPolicies[] = [];
  afterEach(async () => {
    for (const bed of beds) await bed.remove();
    beds = [];
  });
  const install = async (names: Names): Promise<InstalledPolicies> => {
    const bed = await InstalledPolicies.create(names);
    beds.push(bed);
    return bed;
  };

  /** Everything that the operator does in the namespace of a tenant, as dry runs. */
  const operates = async (bed: InstalledPolicies, account: string): Promise<void> => {
    const objects = [
      ltiKey(bed.tenant, 'canvas-1'),
      secret(bed.tenant, 'canvas-lti-keys', 'ltikeys.dev/ledger'),
      secret(bed.tenant, 'canvas-signing-key', 'ltikeys.dev/signing-key'),
      secret(bed.home, 'lti-key-operator-kek-canaries', 'Opaque'),
    ];
    for (const object of objects) {
      const { code, stderr } = await bed.create(object, account);
      expect(code, stderr).to.equal(0);
    }
    const created = await run(['create', '--filename=-'], account, objects[1]);
    expect(created.code, created.stderr).to.equal(0);
    const ledger = ['secret', 'canvas-lti-keys', `--namespace=${bed.tenant}`];
    const deleted = await run(['delete', ...ledger], account);
    expect(deleted.code, deleted.stderr).to.equal(0);
  };

  const cases: readonly (readonly [names: Names, account: string])[] = [
    [{ namePrefix: 'acme-' }, 'acme-lti-key-operator'],
    [{ nameSuffix: '-blue' }, 'lti-key-operator-blue'],
    [{ namePrefix: 'acme-', nameSuffix: '-blue' }, 'acme-lti-key-operator-blue'],
  ];
  for (const [names, account] of cases) {
    it(`The policies allow the account ${account} and refuse all others`, async () => {
      const bed = await install(names);
      expect(bed.operator).to.equal(`system:serviceaccount:${bed.home}:${account}`);
      await operates(bed, bed.operator);
      for (const stranger of [undefined, `system:serviceaccount:${bed.home}:lti-key-operator`]) {
        expectRefused(await bed.create(ltiKey(bed.tenant, 'canvas-1'), stranger), why);
      }
    });
  }

  it('The policies of two operators each protect only the tenants of their own operator', async () => {
    const [first, second] = [await install({ namePrefix: 'first-' }), await install({ namePrefix: 'second-' })];
    for (const [bed, other] of [
      [first, second],
      [second, first],
    ] as const) {
      await operates(bed, bed.operator);
      expectRefused(await bed.create(ltiKey(bed.tenant, 'canvas-1'), other.operator), why);
    }
  });

  it('The policies of two operators in the same namespaces allow both once each names the account of the other', async () => {
    const homes = [await createNamespace('keys-system'), await createNamespace('keys-system')] as const;
    const naming = (name: string, namespace: string): readonly object[] => {
      const value = { kind: 'ServiceAccount', name, namespace };
      const patch = JSON.stringify([{ op: 'add', path: '/subjects/-', value }]);
      return [{ target: { kind: 'ClusterRoleBinding', name: 'lti-key-operator-identity' }, patch }];
    };
    const patches = [naming('second-lti-key-operator', homes[1]), naming('first-lti-key-operator', homes[0])] as const;
    const first = await install({ namePrefix: 'first-', home: homes[0], patches: patches[0] });
    const { tenant } = first;
    const second = await install({ namePrefix: 'second-', home: homes[1], tenant, patches: patches[1] });
    for (const bed of [first, second]) await operates(bed, bed.operator);
    expectRefused(await first.create(ltiKey(tenant, 'canvas-1')), why);
  });
});
