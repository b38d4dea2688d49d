import { expect } from 'chai';
import { expectRefused, InstalledPolicies, keyID, registration, run, shipped, succeed } from '../fixtures/admission.ts';

describe('The admission policy for deleting registrations', () => {
  let bed: InstalledPolicies;
  let here: string;
  before(async () => {
    bed = await InstalledPolicies.create();
    here = `--namespace=${bed.tenant}`;
  });
  after(() => bed.remove());

  const why = 'the LTI key operator has not seen the newest spec of this registration';
  const lastTransitionTime = '2026-11-26T12:00:00Z';
  const conditions = [{ type: 'Ready', status: 'False', reason: 'KeyNotPublished', message: '', lastTransitionTime }];
  const edit = { spec: { deletionPolicy: 'Delete' } };
  const force = { metadata: { annotations: { 'ltikeys.dev/force-delete': 'true' } } };

  const cases: readonly (readonly [
    what: string,
    status: object | undefined,
    edits: readonly object[],
    allowed: boolean,
  ])[] = [
    ['that the operator never saw', undefined, [], true],
    ['that the operator never saw and that was edited', undefined, [edit], true],
    ['whose newest spec the operator saw', { observedGeneration: 1, conditions }, [], true],
    ['that was edited since', { observedGeneration: 1, conditions }, [edit], false],
    [
      'that was only annotated since',
      { observedGeneration: 1, conditions },
      [{ metadata: { annotations: { a: 'b' } } }],
      true,
    ],
    [
      'that was edited since, with the force-delete annotation',
      { observedGeneration: 1, conditions },
      [edit, force],
      true,
    ],
    ['with conditions without a generation', { conditions }, [], false],
    ['with a key without a generation', { activeKey: { name: 'canvas-1', keyID } }, [], false],
  ];

  for (const [index, [what, status, edits, allowed]] of cases.entries()) {
    it(`The API server ${allowed ? 'allows' : 'refuses'} deleting a registration ${what}`, async () => {
      const name = `deleted-${index}`;
      await succeed(['create', '--filename=-'], undefined, registration(bed.tenant, name));
      const patch = ['patch', 'ltiregistration', name, here, '--type=merge'];
      const asBody = (body: object): string => `--patch=${JSON.stringify(body)}`;
      if (status) await succeed([...patch, '--subresource=status', asBody({ status })], bed.operator);
      for (const body of edits) await succeed([...patch, asBody(body)]);
      const deletions = [
        await run(['delete', 'ltiregistration', name, here, '--dry-run=server']),
        await run(['delete', 'ltiregistration', name, here], shipped),
      ];
      for (const result of deletions) {
        if (allowed) expect(result.code, result.stderr).to.equal(0);
        else expectRefused(result, why);
      }
      if (allowed) return;
      const all = `/apis/ltikeys.dev/v1alpha1/namespaces/${bed.tenant}/ltiregistrations?dryRun=All`;
      expectRefused(await run(['delete', `--raw=${all}`]), why);
      expect(deletions[0]?.stderr).to.contain('ltikeys.dev/force-delete=true');
      const replaced = ['replace', '--force', '--filename=-'];
      expectRefused(await run(replaced, undefined, registration(bed.tenant, name)), why);
    });
  }
});
