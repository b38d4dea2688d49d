import { rm } from 'node:fs/promises';
import { expect } from 'chai';
import { ltiKeys, namespacePath, registrationLabel, secrets } from '../../src/api/names.ts';
import type { LtiKey } from '../../src/api/objects.ts';
import { hour, minute, second } from '../../src/domain/duration.ts';
import type { KeyState } from '../../src/domain/key-state.ts';
import type { Secret } from '../../src/kube/objects.ts';
import type { BeforeWrite } from '../fixtures/observed-client.ts';
import { makeKekDirectory, startOperator, type Operator } from '../fixtures/operator.ts';
import { base64, eventually, strangersJwk, Tenant, text } from '../fixtures/tenant.ts';

describe('Objects that the operator owns', () => {
  let tenant: Tenant;
  let operator: Operator;

  let kekDir: string;

  /** The operator deletes no LtiKey before this. */
  let mayDelete = Promise.resolve();

  before(async () => (kekDir = await makeKekDirectory()));
  after(() => rm(kekDir, { recursive: true }));

  beforeEach(async () => {
    tenant = await Tenant.inNewNamespace('ownership');
    const beforeWrite: BeforeWrite = (verb, type) => (verb === 'delete' && type === ltiKeys ? mayDelete : undefined);
    operator = await startOperator({ namespaces: [tenant.namespace], kekDir, beforeWrite });
    await tenant.apply('canvas');
    await inStep();
    await operator.rest();
  });

  afterEach(async () => {
    await operator.stop();
    await tenant.leave();
  });

  const inStep = (): Promise<void> => tenant.untilInStep(operator.url, 'canvas');
  const resync = 34 * minute;

  describe('LtiKeys', () => {
    const setState = (name: string, state: KeyState): Promise<LtiKey> =>
      tenant.changeStatus<LtiKey>(ltiKeys, name, (key) => ({ ...key, status: { ...key.status, state } }));

    /** Keeps asking for the document while `work` goes on; gives every distinct answer. */
    async function documentsDuring(work: () => Promise<void>): Promise<readonly string[]> {
      const seen = new Set<string>();
      const done = new AbortController();
      const watching = (async () => {
        while (!done.signal.aborted) seen.add((await tenant.servedOf(operator.url, 'canvas')).text);
      })();
      await work();
      done.abort();
      await watching;
      return [...seen];
    }

    it('The operator restores a deleted LtiKey, and its key is served throughout', async () => {
      const before = await tenant.key('canvas-1');
      const document = (await tenant.servedOf(operator.url, 'canvas')).text;
      const documents = await documentsDuring(async () => {
        await tenant.remove(ltiKeys, 'canvas-1');
        await eventually(async () => {
          const after = await tenant.key('canvas-1');
          expect(after.metadata.uid).to.not.equal(before.metadata.uid);
          expect(after.spec).to.deep.equal(before.spec);
          expect(after.status?.state).to.equal('Active');
        });
        await operator.travel(minute);
        await operator.travel(minute);
      });
      expect(documents).to.deep.equal([document]);
      const { createdAt, publishedAt, activatedAt, kekID } = (await tenant.key('canvas-1')).status ?? {};
      expect({ createdAt, publishedAt, activatedAt, kekID }).to.deep.equal({
        createdAt: before.status?.createdAt,
        publishedAt: before.status?.publishedAt,
        activatedAt: before.status?.activatedAt,
        kekID: before.status?.kekID,
      });
      await inStep();
    });

    for (const state of ['Retiring', 'Revoked'] as const) {
      it(`The operator makes an LtiKey Active again that was edited to ${state}`, async () => {
        await setState('canvas-1', state);
        await tenant.untilStates('canvas', 'canvas-1 Active');
        await inStep();
        expect((await tenant.registration('canvas')).status?.activeKey?.name).to.equal('canvas-1');
      });
    }

    it('The operator restores edited timestamps, KEK, conditions and state of an LtiKey', async () => {
      const { status } = await tenant.key('canvas-1');
      const { state: _, ...stateless } = status ?? {};
      const edits: readonly LtiKey['status'][] = [
        { ...status, retireAt: '2020-01-01T00:00:00Z' },
        { ...status, kekID: 'mine', conditions: [] },
        { ...stateless },
        {},
      ] as LtiKey['status'][];
      for (const edited of edits) {
        await tenant.changeStatus<LtiKey>(ltiKeys, 'canvas-1', (key) => ({ ...key, status: edited }) as LtiKey);
        await eventually(async () => {
          const now = (await tenant.key('canvas-1')).status;
          expect({ ...now, conditions: [], ledgerSerial: 0 }).to.deep.equal({
            ...status,
            conditions: [],
            ledgerSerial: 0,
          });
          expect(now?.conditions?.map(({ type, status: is, reason }) => [type, is, reason])).to.deep.equal([
            ['KeyMaterialAvailable', 'True', 'KeysDecryptable'],
          ]);
        });
      }
      await inStep();
    });

    it('An LtiKey without its label still belongs to the registration in its spec', async () => {
      await tenant.change<LtiKey>(ltiKeys, 'canvas-1', ({ metadata: { labels: __, ...metadata }, ...key }) => ({
        ...key,
        metadata: { ...metadata, labels: { [registrationLabel]: 'another' } },
      }));
      await operator.travel(resync);
      await inStep();
      expect((await tenant.key('canvas-1')).status?.conditions?.map(({ type }) => type)).to.deep.equal([
        'KeyMaterialAvailable',
      ]);
    });

    /** As a user with the right to create LtiKeys makes one, and makes it Active before the operator can delete it. */
    async function forge(name: string, revision: number): Promise<LtiKey> {
      const { promise: forged, resolve: release } = Promise.withResolvers<void>();
      mayDelete = forged;
      try {
        await create(name, revision);
        return await setState(name, 'Active');
      } finally {
        release();
      }
    }

    async function create(name: string, revision: number): Promise<void> {
      const publicJWK = await strangersJwk(name);
      await tenant.client.create<LtiKey>(ltiKeys, {
        apiVersion: 'ltikeys.dev/v1alpha1',
        kind: 'LtiKey',
        metadata: { name, namespace: tenant.namespace },
        spec: {
          registrationRef: { name: 'canvas' },
          revision,
          keyID: publicJWK.kid,
          algorithm: 'RS256',
          size: 2048,
          publicJWK,
        },
      });
    }

    for (const [name, revision] of [
      ['canvas-99', 99],
      ['mine', 1],
      ['canvas-7', 1],
    ] as const) {
      it(`The operator deletes and unpublishes an LtiKey ${name} that is in no ledger`, async () => {
        const { spec } = await forge(name, revision);
        await eventually(async () => {
          const names = (await tenant.keys('canvas')).map(({ metadata }) => metadata.name);
          expect(names).to.deep.equal(['canvas-1']);
        });
        await operator.travel(31 * second);
        await eventually(async () => {
          expect((await tenant.served(operator.url, namespacePath(tenant.namespace))).keyIDs).to.not.include(
            spec.keyID,
          );
        });
        const { kid } = await tenant.delivered('canvas');
        await eventually(async () =>
          expect((await tenant.servedOf(operator.url, 'canvas')).keyIDs).to.deep.equal([kid]),
        );
        await operator.travel(resync);
        await tenant.untilSays('canvas', 'Ready', 'True SigningKeyReady');
      });
    }

    it('The operator replaces a forged LtiKey that has the name of the next key', async () => {
      const forged = await forge('canvas-2', 2);
      await tenant.untilStates('canvas', 'canvas-1 Active');
      await tenant.edit('canvas', { rotationTrigger: 'b' });
      await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
      expect((await tenant.key('canvas-2')).spec.keyID).to.not.equal(forged.spec.keyID);
      await operator.travel(minute);
      await inStep();
      await operator.travel(25 * hour);
      await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
      await inStep();
    });
  });

  describe('Delivery Secrets', () => {
    const createSecret = (name: string): Promise<Secret> =>
      tenant.client.create<Secret>(secrets, {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name, namespace: tenant.namespace },
        type: 'Opaque',
        data: { password: base64('hunter2') },
      });

    it('A delivery Secret is not written while another Secret has its name', async () => {
      const theirs = await createSecret('taken');
      await tenant.apply('moodle', { delivery: { secretName: 'taken' } });
      const message = await tenant.untilSays('moodle', 'Stalled', 'True DeliverySecretConflict');
      expect(message).to.include(
        `Secret ${tenant.namespace}/taken exists and is not the delivery Secret of registration moodle`,
      );
      expect(message).to.include('choose another name in spec.delivery or delete that Secret');
      await tenant.untilSays('moodle', 'Ready', 'False DeliverySecretConflict');
      await operator.travel(resync);
      expect((await tenant.secret('taken'))?.metadata.resourceVersion).to.equal(theirs.metadata.resourceVersion);

      await tenant.remove(secrets, 'taken');
      await operator.travel(resync);
      await tenant.untilInStep(operator.url, 'moodle');
      await tenant.untilSays('moodle', 'Stalled', 'False NotStalled');
    });

    it('The delivery Secret of another registration is not overwritten', async () => {
      const theirs = await tenant.secret('canvas-signing-key');
      await tenant.apply('moodle', { delivery: { secretName: 'canvas-signing-key' } });
      await tenant.untilSays('moodle', 'Stalled', 'True DeliverySecretConflict');
      await operator.travel(resync);
      expect(await tenant.secret('canvas-signing-key')).to.deep.equal(theirs);
      await inStep();
    });

    it('A delivery Secret whose new name is taken stays in place, and the key of the tool does not retire', async () => {
      await createSecret('taken');
      await tenant.edit('canvas', { delivery: { secretName: 'taken' }, rotationTrigger: 'b' });
      await tenant.untilSays('canvas', 'Stalled', 'True DeliverySecretConflict');
      await operator.travel(26 * hour);
      await operator.travel(60 * hour);
      const { kid } = await tenant.delivered('canvas');
      expect((await tenant.servedOf(operator.url, 'canvas')).keyIDs, 'what the tool signs with').to.include(kid);
    });

    const damages: readonly { what: string; damage: (secret: Secret) => Promise<unknown> }[] = [
      { what: 'deleted', damage: ({ metadata }) => tenant.remove(secrets, metadata.name) },
      { what: 'emptied', damage: ({ metadata }) => tenant.replaceSecret(metadata.name, () => ({})) },
      {
        what: 'given another private key',
        damage: ({ metadata }) =>
          tenant.replaceSecret(metadata.name, (data) => ({ ...data, 'private.pem': base64('-----BEGIN') })),
      },
      {
        what: 'given another key ID',
        damage: ({ metadata }) => tenant.replaceSecret(metadata.name, (data) => ({ ...data, kid: base64('mine') })),
      },
      {
        what: 'given an entry more',
        damage: ({ metadata }) => tenant.replaceSecret(metadata.name, (data) => ({ ...data, extra: base64('x') })),
      },
    ];
    for (const { what, damage } of damages) {
      it(`A delivery Secret that was ${what} is repaired at the next reconcile`, async () => {
        const before = await tenant.secret('canvas-signing-key');
        await damage(before!);
        await operator.travel(resync);
        await eventually(async () =>
          expect((await tenant.secret('canvas-signing-key'))?.data).to.deep.equal(before?.data),
        );
        await inStep();
        expect(await tenant.states('canvas')).to.equal('canvas-1 Active');
      });
    }

    it('A delivery Secret that the API server refuses is reported, and is written once it is accepted', async () => {
      const { kid } = await tenant.delivered('canvas');
      await tenant.change<Secret>(secrets, 'canvas-signing-key', (secret) => ({ ...secret, immutable: true }));
      await tenant.edit('canvas', { rotationTrigger: 'b' });
      await eventually(async () => expect((await tenant.key('canvas-2')).status?.publishedAt).to.be.a('string'));
      await operator.travel(25 * hour);
      await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
      const message = await tenant.untilSays('canvas', 'Stalled', 'True WriteRefused');
      expect(message).to.include(`${tenant.namespace}/canvas-signing-key`).and.to.include('422 Invalid');
      expect(await tenant.says('canvas', 'Ready')).to.equal('False DeliveryPending');
      expect((await tenant.registration('canvas')).status?.activeKey?.name).to.equal('canvas-2');
      expect((await tenant.delivered('canvas')).kid).to.equal(kid);
      await operator.travel(72 * hour);
      expect(await tenant.states('canvas'), 'the tool still signs with it').to.equal(
        'canvas-1 Retiring, canvas-2 Active',
      );

      await tenant.remove(secrets, 'canvas-signing-key');
      await operator.travel(2 * minute);
      await inStep();
      await tenant.untilSays('canvas', 'Stalled', 'False NotStalled');
    });

    it('A delivery Secret gets no key that a replica does not serve', async () => {
      let targets = (own: string): readonly string[] => [own];
      const { clock } = operator;
      await operator.stop();
      operator = await startOperator({
        namespaces: [tenant.namespace],
        kekDir,
        clock,
        targets: (own) => targets(own),
      });
      await operator.rest();
      targets = (own) => [own, 'http://127.0.0.1:9'];
      await tenant.remove(secrets, 'canvas-signing-key');
      await operator.travel(resync);
      await tenant.untilSays('canvas', 'Ready', 'False NotServedByAllReplicas');
      expect(await tenant.secret('canvas-signing-key')).to.equal(undefined);
      targets = (own) => [own];
      await operator.travel(minute);
      await inStep();
    });

    it('A delivery Secret under a new name is written before the former one is deleted', async () => {
      await operator.stop();
      const order: string[] = [];
      operator = await startOperator({
        namespaces: [tenant.namespace],
        kekDir,
        beforeWrite: (verb, type, { metadata }) => {
          if (type.plural === 'secrets' && metadata.name.includes('key') && !metadata.name.endsWith('-lti-keys'))
            order.push(`${verb} ${metadata.name}`);
        },
      });
      const { kid } = await tenant.delivered('canvas');
      await tenant.edit('canvas', { delivery: { secretName: 'new-key' } });
      await inStep();
      expect((await tenant.delivered('canvas', 'new-key')).kid).to.equal(kid);
      expect((await tenant.delivered('canvas')).kid, 'Pods of the tool may still need it').to.equal(kid);
      await operator.travel(49 * hour);
      await eventually(async () => expect(await tenant.secret('canvas-signing-key')).to.equal(undefined));
      expect(order).to.deep.equal(['create new-key', 'delete canvas-signing-key']);

      await tenant.edit('canvas', { delivery: undefined } as object);
      await eventually(async () => expect(await tenant.secret('new-key')).to.equal(undefined));
      await inStep();
    });

    it('A Secret that is no longer owned by the operator stays when the name changes', async () => {
      await tenant.remove(secrets, 'canvas-signing-key');
      await createSecret('canvas-signing-key');
      await tenant.edit('canvas', { delivery: { secretName: 'new-key' } });
      await inStep();
      expect(text((await tenant.secret('canvas-signing-key'))!, 'password')).to.equal('hunter2');
    });
  });
});
