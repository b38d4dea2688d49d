import { expect } from 'chai';
import { ledgerEntry, secrets } from '../../src/api/names.ts';
import { minute, second } from '../../src/domain/duration.ts';
import type { Secret } from '../../src/kube/objects.ts';
import { eventsOf, kubectl, policy, quota, type Obstacle } from '../fixtures/refused-requests.ts';
import type { BeforeWrite } from '../fixtures/observed-client.ts';
import { forgetCanaries, startOperator, type Operator } from '../fixtures/operator.ts';
import { eventually, Tenant } from '../fixtures/tenant.ts';

/** Each test has a namespace of its own, because quotas and policies are about namespaces. */
describe('Writes that the API server refuses', () => {
  let operator: Operator;
  let tenant: Tenant;
  const spare: Tenant[] = [];
  const used: Tenant[] = [];
  /** `namespace/name` of a ledger → the first key IDs that the operator tried to create it with. */
  const attempts = new Map<string, string[]>();

  /** Namespace → the writes of the operator until a status first had WriteRefused, such as `create secrets canvas-lti-keys`. */
  const untilReported = new Map<string, { readonly writes: string[]; reported: boolean }>();

  const beforeWrite: BeforeWrite = (verb, type, object) => {
    const { namespace = '', name } = object.metadata;
    const told = untilReported.get(namespace) ?? { writes: [], reported: false };
    untilReported.set(namespace, told);
    if (!told.reported) told.writes.push(`${verb} ${type.plural} ${name}`);
    told.reported ||= verb === 'replaceStatus' && JSON.stringify(object).includes('"reason":"WriteRefused"');
    const content = (object as Secret).data?.[ledgerEntry];
    if (verb !== 'create' || type !== secrets || content === undefined) return;
    const ledger: { keys: readonly { keyID: string }[] } = JSON.parse(Buffer.from(content, 'base64').toString());
    const place = `${namespace}/${name}`;
    attempts.set(place, [...(attempts.get(place) ?? []), ledger.keys[0]!.keyID]);
  };

  before(async () => {
    await forgetCanaries();
    for (let n = 0; n < 13; n++) spare.push(await Tenant.inNewNamespace('refused'));
    operator = await startOperator({ namespaces: spare.map(({ namespace }) => namespace), beforeWrite });
  });
  beforeEach(() => {
    tenant = spare.pop()!;
    used.push(tenant);
  });
  after(async () => {
    await operator.stop();
    for (const each of [...spare, ...used]) await each.leave();
  });

  const inStep = (name = 'canvas'): Promise<void> => tenant.untilInStep(operator.url, name);
  const ready = async (): Promise<string> => {
    await tenant.apply('canvas', { rotationTrigger: 'a' });
    await inStep();
    await operator.rest();
    return (await tenant.delivered('canvas')).kid;
  };
  const apart = (kid: string): Promise<void> => tenant.untilRevoked(operator.url, 'canvas', kid);
  const immutable = (name: string): Promise<void> =>
    kubectl(['patch', 'secret', name, `--namespace=${tenant.namespace}`, '--patch', '{"immutable":true}']);
  const saysSo = async (object: string, because: RegExp): Promise<void> => {
    await eventually(async () => {
      const { status } = await tenant.registration('canvas');
      const stalled = status?.conditions?.find(({ type }) => type === 'Stalled');
      expect(stalled?.reason).to.equal('WriteRefused');
      expect(stalled?.message).to.include(object.replace('NS', tenant.namespace)).and.match(because);
      expect(status?.phase).to.equal('Stalled');
      const warnings = await eventsOf(tenant, 'WriteRefused', 'canvas');
      expect(warnings.some((warning) => warning.startsWith('Warning: ') && because.test(warning))).to.equal(true);
    });
  };
  const heals = async (obstacle: Obstacle): Promise<void> => {
    await obstacle.remove();
    await operator.travel(minute);
    await inStep();
    expect(await tenant.says('canvas', 'Stalled')).to.equal('False NotStalled');
  };
  const teamLabel = 'Secrets need the label team';
  const noSecrets = { apiGroup: '', resource: 'secrets', message: teamLabel } as const;
  const noKeys = { apiGroup: 'ltikeys.dev', message: 'too many custom resources' } as const;

  describe('New registrations', () => {
    const obstacles: readonly {
      readonly title: string;
      readonly put: () => Promise<Obstacle>;
      readonly object: string;
      readonly because: RegExp;
    }[] = [
      {
        title: 'because of a quota of no Secrets',
        put: () => quota(tenant.namespace, { 'count/secrets': '0' }),
        object: 'create Secret NS/canvas-lti-keys',
        because: /exceeded quota: few-objects/,
      },
      {
        title: 'because a policy refuses new Secrets',
        put: () => policy(tenant.namespace, { ...noSecrets, operation: 'CREATE' }),
        object: 'create Secret NS/canvas-lti-keys',
        because: new RegExp(teamLabel),
      },
      {
        title: 'because a policy refuses new LtiKeys',
        put: () => policy(tenant.namespace, { ...noKeys, operation: 'CREATE', resource: 'ltikeys' }),
        object: 'create LtiKey NS/canvas-1',
        because: /too many custom resources/,
      },
      {
        title: 'because a policy refuses the status of LtiKeys',
        put: () => policy(tenant.namespace, { ...noKeys, operation: 'UPDATE', resource: 'ltikeys/status' }),
        object: 'update the status of LtiKey NS/canvas-1',
        because: /too many custom resources/,
      },
    ];
    for (const { title, put, object, because } of obstacles) {
      it(`A new registration reports a write refused ${title} without a second attempt, and makes one key pair`, async () => {
        const obstacle = await put();
        await tenant.apply('canvas');
        await saysSo(object, because);
        // The status is the first write after the refused one: the second attempt would be 20 seconds later.
        const { writes } = untilReported.get(tenant.namespace)!;
        expect(new Set(writes).size, writes.join(', ')).to.equal(writes.length);
        expect(writes.at(-1)).to.equal('replaceStatus ltiregistrations canvas');
        expect(await tenant.says('canvas', 'Ready')).to.equal('False NoSigningKey');
        for (let n = 0; n < 3; n++) await operator.travel(21 * second);
        await heals(obstacle);
        const tried = attempts.get(`${tenant.namespace}/canvas-lti-keys`) ?? [];
        expect(new Set(tried), 'key pairs').to.deep.equal(new Set([(await tenant.delivered('canvas')).kid]));
        if (object.includes('Secret')) expect(tried).to.have.length.above(3);
        expect(await tenant.states('canvas')).to.equal('canvas-1 Active');
      });
    }
  });

  describe('Immutable ledgers', () => {
    it('An immutable ledger stops a rotation, but not a revocation, until it is replaced', async () => {
      const kid = await ready();
      await immutable('canvas-lti-keys');
      await tenant.edit('canvas', { rotationTrigger: 'b' });
      await saysSo('update Secret NS/canvas-lti-keys', /field is immutable when `immutable` is set/);
      expect(await tenant.says('canvas', 'Ready')).to.equal('True SigningKeyReady');

      await tenant.edit('canvas', { revokedKeyIDs: [kid] });
      await operator.travel(minute);
      await apart(kid);
      await tenant.untilSays('canvas', 'Ready', 'False NoSigningKey');
      await saysSo('update Secret NS/canvas-lti-keys', /immutable/);

      const { immutable: _, ...ledger } = (await tenant.ledgerSecret('canvas')) as Secret & { immutable?: boolean };
      await heals({ remove: () => tenant.restore(ledger) });
      expect(await tenant.states('canvas')).to.equal('canvas-1 Revoked, canvas-2 Active');
    });
  });

  it('A revoked key is neither served nor delivered if a quota refuses the replacement LtiKey', async () => {
    const kid = await ready();
    const obstacle = await quota(tenant.namespace, { 'count/ltikeys.ltikeys.dev': '1' });
    await tenant.edit('canvas', { revokedKeyIDs: [kid] });
    await saysSo('create LtiKey NS/canvas-2', /exceeded quota: few-objects/);
    await operator.travel(minute);
    await apart(kid);
    await heals(obstacle);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Revoked, canvas-2 Active');
  });

  it('A revoked key is neither served nor delivered if a policy refuses all updates of Secrets', async () => {
    const kid = await ready();
    const obstacle = await policy(tenant.namespace, { ...noSecrets, operation: 'UPDATE' });
    await tenant.edit('canvas', { revokedKeyIDs: [kid] });
    await operator.travel(minute);
    await apart(kid);
    await saysSo('update Secret NS/canvas-lti-keys', new RegExp(teamLabel));
    await heals(obstacle);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Revoked, canvas-2 Active');
  });

  it('A revoked key is neither served nor delivered if a policy refuses the status of LtiKeys', async () => {
    const kid = await ready();
    const obstacle = await policy(tenant.namespace, { ...noKeys, operation: 'UPDATE', resource: 'ltikeys/status' });
    await tenant.edit('canvas', { revokedKeyIDs: [kid] });
    // The grace of the replacement and that of publishers, which then give the deleted LtiKey up: within a minute together.
    await operator.travel(21 * second);
    await operator.travel(31 * second);
    await apart(kid);
    await saysSo('the status of LtiKey NS/canvas-', /too many custom resources/);
    await heals(obstacle);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Revoked, canvas-2 Active');
  });

  it('A policy that refuses updates of LtiKeys has no effect, because the operator makes none', async () => {
    const kid = await ready();
    const obstacle = await policy(tenant.namespace, { ...noKeys, operation: 'UPDATE', resource: 'ltikeys' });
    await tenant.edit('canvas', { revokedKeyIDs: [kid] });
    await inStep();
    await apart(kid);
    await obstacle.remove();
  });

  describe('Immutable delivery Secrets', () => {
    it('The operator replaces an immutable delivery Secret with a revoked key in it', async () => {
      const kid = await ready();
      await immutable('canvas-signing-key');
      await tenant.edit('canvas', { revokedKeyIDs: [kid] });
      await operator.travel(minute);
      await inStep();
      await apart(kid);
    });

    it('A revoked key in an immutable delivery Secret that finalizers hold is reported until they are removed', async () => {
      const kid = await ready();
      const held = (finalizers: readonly string[]): Promise<void> =>
        tenant
          .change<Secret>(secrets, 'canvas-signing-key', ({ metadata, ...secret }) => ({
            ...secret,
            metadata: { ...metadata, finalizers },
            immutable: true,
          }))
          .then(() => undefined);
      await held(['example.org/copy']);
      await tenant.edit('canvas', { revokedKeyIDs: [kid] });
      const message = await tenant.untilSays('canvas', 'RevocationEffective', 'False RevokedKeyDelivered');
      expect(message)
        .to.include(`${tenant.namespace}/canvas-signing-key`)
        .and.to.include('finalizers example.org/copy');
      expect((await tenant.delivered('canvas')).kid).to.equal(kid);
      await heals({ remove: () => held([]) });
      await apart(kid);
    });

    it('An immutable delivery Secret is reported, and replaced once it is deleted', async () => {
      const kid = await ready();
      await immutable('canvas-signing-key');
      await tenant.edit('canvas', { deploymentIDs: ['1:abc'] });
      await saysSo('write Secret NS/canvas-signing-key', /immutable/);
      expect((await tenant.delivered('canvas')).kid).to.equal(kid);
      await heals({ remove: () => tenant.remove(secrets, 'canvas-signing-key') });
      expect((await tenant.delivered('canvas')).kid).to.equal(kid);
    });
  });

  it('A refused status of the registration is logged, and its key still signs', async () => {
    const refused = { ...noKeys, operation: 'UPDATE', resource: 'ltiregistrations/status' } as const;
    const obstacle = await policy(tenant.namespace, refused);
    await tenant.apply('canvas');
    await eventually(() => tenant.delivered('canvas'));
    const { namespace } = tenant;
    await eventually(async () => {
      const told = operator.lines.filter(
        ({ fields }) => fields.namespace === namespace && fields.reason === 'WriteRefused',
      );
      expect(told.map(({ fields }) => String(fields.error)).join('\n')).to.match(/update the status.*custom resources/);
    });
    await heals(obstacle);
  });
});
