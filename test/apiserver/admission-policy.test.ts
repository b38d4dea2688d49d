import { expect } from 'chai';
import {
  expectRefused,
  InstalledPolicies,
  keyID,
  ltiKey,
  registration,
  run,
  secret,
  shipped,
  succeed,
  untilInForce,
} from '../fixtures/admission.ts';
import { apply } from '../fixtures/rendered.ts';

describe('The admission policies in a namespace of the installer’s choice', () => {
  let bed: InstalledPolicies;
  let here: string;
  before(async () => {
    bed = await InstalledPolicies.create();
    here = `--namespace=${bed.tenant}`;
  });
  after(() => bed.remove());

  describe('LtiKeys and statuses', () => {
    const why =
      'only the LTI key operator writes LtiKeys and statuses; to rotate or revoke a key, change rotationTrigger';

    before(async () => {
      await succeed(['create', '--filename=-'], bed.operator, ltiKey(bed.tenant, 'canvas-1'));
      await succeed(['create', '--filename=-'], undefined, registration(bed.tenant, 'canvas'));
    });

    const writes: readonly (readonly [what: string, args: readonly string[]])[] = [
      ['label an LtiKey', ['label', 'ltikey', 'canvas-1', 'a=b']],
      [
        'write the status of an LtiKey',
        ['patch', 'ltikey', 'canvas-1', '--subresource=status', '--patch={"status":{"state":"Active"}}'],
      ],
      ['delete an LtiKey', ['delete', 'ltikey', 'canvas-1']],
      ['delete all LtiKeys', ['delete', '--raw=']],
      [
        'write the status of a registration',
        [
          'patch',
          'ltiregistration',
          'canvas',
          '--subresource=status',
          '--patch={"status":{"jwksURL":"https://evil.example"}}',
        ],
      ],
    ];

    for (const [what, args] of writes) {
      it(`The policies allow only the operator to ${what}`, async () => {
        const path = `/apis/ltikeys.dev/v1alpha1/namespaces/${bed.tenant}/ltikeys?dryRun=All`;
        const raw = args.includes('--raw=');
        const patch = args[0] === 'patch' ? ['--type=merge'] : [];
        const full = raw ? ['delete', `--raw=${path}`] : [...args, ...patch, here, '--dry-run=server'];
        await succeed(full, bed.operator);
        for (const stranger of [undefined, shipped]) expectRefused(await run(full, stranger), why);
      });
    }

    it('The policies allow only the operator to create an LtiKey, not its namesake in another namespace', async () => {
      const manifest = ltiKey(bed.tenant, 'canvas-2');
      await succeed(['create', '--dry-run=server', '--filename=-'], bed.operator, manifest);
      for (const stranger of [undefined, shipped]) expectRefused(await bed.create(manifest, stranger), why);
    });

    it('The policies leave the spec of a registration to its owner', async () => {
      await succeed(['patch', 'ltiregistration', 'canvas', '--type=merge', '--patch={"spec":{"suspend":true}}', here]);
    });
  });

  describe('Ledgers', () => {
    const why = 'only the LTI key operator changes or deletes a ledger';

    before(async () => {
      await succeed(['create', '--filename=-'], 'editor', secret(bed.tenant, 'canvas-lti-keys', 'ltikeys.dev/ledger'));
      await succeed(['create', '--filename=-'], 'editor', secret(bed.tenant, 'other', 'Opaque'));
    });

    const patch = (body: object): readonly string[] => ['patch', '--type=merge', `--patch=${JSON.stringify(body)}`];
    for (const [what, [verb = '', ...options]] of [
      ['change the data of', patch({ data: { a: 'Yw==' } })],
      ['make immutable', patch({ immutable: true })],
      ['put a finalizer on', patch({ metadata: { finalizers: ['example.org/hold'] } })],
      ['label', patch({ metadata: { labels: { a: 'b' } } })],
      ['delete', ['delete']],
    ] as const) {
      it(`The policies allow only the operator to ${what} a ledger, and leave other Secrets alone`, async () => {
        const on = (name: string): readonly string[] => [verb, 'secret', name, ...options, here, '--dry-run=server'];
        for (const stranger of ['editor', shipped, undefined]) {
          const refused = await run(on('canvas-lti-keys'), stranger);
          expectRefused(refused, why);
          expect(refused.stderr).to.contain(`kubectl --as=${bed.operator}`);
        }
        await succeed(on('canvas-lti-keys'), bed.operator);
        await succeed(on('other'), 'editor');
      });
    }

    it('The policies refuse to delete a ledger together with all Secrets of a namespace', async () => {
      const path = `/api/v1/namespaces/${bed.tenant}/secrets?dryRun=All`;
      for (const stranger of ['editor', undefined])
        expectRefused(await run(['delete', `--raw=${path}`], stranger), why);
    });

    it('The policies refuse to let others apply or replace a ledger', async () => {
      const changed = { ...secret(bed.tenant, 'canvas-lti-keys', 'ltikeys.dev/ledger'), stringData: { a: 'other' } };
      const force = '--force-conflicts';
      for (const how of [['apply', '--server-side', force], ['apply'], ['replace'], ['replace', '--force']]) {
        for (const stranger of ['editor', undefined]) {
          expectRefused(await run([...how, '--filename=-'], stranger, changed), why);
        }
      }
    });

    it('The policies refuse to let the garbage collector delete a ledger whose owner is gone', async () => {
      const collector = 'system:serviceaccount:kube-system:generic-garbage-collector';
      expectRefused(await run(['delete', 'secret', 'canvas-lti-keys', here, '--dry-run=server'], collector), why);
    });

    it('The policies allow writing a ledger unchanged, as a change of the encryption at rest does', async () => {
      const stored = JSON.parse(await succeed(['get', 'secret', 'canvas-lti-keys', here, '--output=json']));
      const migrator = 'system:serviceaccount:kube-system:storage-version-migrator-controller';
      for (const user of [undefined, 'editor', migrator]) {
        await succeed(['replace', '--filename=-'], user, stored);
        const migration = ['apply', '--server-side', '--field-manager=migrator', '--filename=-'];
        const { apiVersion, kind, metadata } = stored;
        await succeed(migration, user, {
          apiVersion,
          kind,
          metadata: { name: metadata.name, namespace: bed.tenant },
        });
      }
    });
  });

  describe('Secrets that the operator writes', () => {
    const why = 'the account of the LTI key operator writes only Secrets of the types';
    const canary = 'lti-key-operator-kek-canaries';
    const cases: readonly (readonly [
      what: string,
      where: 'home' | 'tenant',
      name: string,
      type: string,
      allowed: boolean,
    ])[] = [
      ['a ledger', 'tenant', 'moodle-lti-keys', 'ltikeys.dev/ledger', true],
      ['a delivery Secret', 'tenant', 'moodle-signing-key', 'ltikeys.dev/signing-key', true],
      ['its canaries', 'home', canary, 'Opaque', true],
      ['a Secret with the name of its canaries elsewhere', 'tenant', canary, 'Opaque', false],
      ['a Secret of a tenant', 'tenant', 'database', 'Opaque', false],
      ['the key-encryption keys', 'home', 'lti-key-operator-kek', 'Opaque', false],
      ['a certificate', 'tenant', 'tls', 'example.org/other', false],
    ];

    it('The policies refuse to let the operator create a token for another account', async () => {
      const token = secret(bed.tenant, 'token', 'kubernetes.io/service-account-token');
      const annotations = { 'kubernetes.io/service-account.name': 'default' };
      const manifest = { ...token, metadata: { ...token.metadata, annotations } };
      expectRefused(await bed.create(manifest, bed.operator), why);
      expect(await bed.create(manifest)).to.include({ code: 0 });
    });

    for (const [what, where, name, type, allowed] of cases) {
      it(`The policies ${allowed ? 'allow' : 'refuse to let'} the operator ${allowed ? 'to ' : ''}create, update and delete ${what}`, async () => {
        const manifest = secret(bed[where], name, type);
        const create = await bed.create(manifest, bed.operator);
        await succeed(['create', '--filename=-'], undefined, manifest);
        const object = ['secret', name, `--namespace=${bed[where]}`, '--dry-run=server'];
        const update = await run(['label', ...object, 'a=b'], bed.operator);
        const remove = await run(['delete', ...object], bed.operator);
        for (const result of [create, update, remove]) {
          if (allowed) expect(result.code, result.stderr).to.equal(0);
          else expectRefused(result, why);
        }
      });
    }
  });

  describe('A missing parameter and a deleted namespace', () => {
    it('The policies without their parameter refuse all LtiKeys and leave the Secrets of others alone', async () => {
      const [binding] = bed.identity.filter(({ kind }) => kind === 'ClusterRoleBinding');
      await succeed(['delete', 'clusterrolebinding', binding!.metadata.name]);
      const key = ltiKey(bed.tenant, 'canvas-3');
      try {
        await untilInForce(async () => (await bed.create(key, bed.operator)).code !== 0);
        await succeed(['label', 'secret', 'other', here, 'a=b', '--dry-run=server'], 'editor');
      } finally {
        await apply(bed.identity);
        await bed.inForce();
      }
    });

    it('The policies with a parameter that names no account refuse all LtiKeys and leave the Secrets of others alone', async () => {
      const [binding] = bed.identity.filter(({ kind }) => kind === 'ClusterRoleBinding');
      const key = ltiKey(bed.tenant, 'canvas-3');
      try {
        for (const subjects of [[{ kind: 'User', name: 'jane', apiGroup: 'rbac.authorization.k8s.io' }], null]) {
          const patch = `--patch=${JSON.stringify({ subjects })}`;
          await succeed(['patch', 'clusterrolebinding', binding!.metadata.name, '--type=merge', patch]);
          await untilInForce(async () => (await bed.create(key, bed.operator)).code !== 0);
          await succeed(['label', 'secret', 'other', here, 'a=b', '--dry-run=server'], 'editor');
          expectRefused(
            await run(['delete', 'secret', 'canvas-lti-keys', here, '--dry-run=server'], 'editor'),
            'ledger',
          );
        }
      } finally {
        await apply(bed.identity);
        await bed.inForce();
      }
    });

    it('The policies allow deleting a namespace with keys, ledgers and unseen registrations in it', async () => {
      const status = { observedGeneration: 1, activeKey: { name: 'canvas-1', keyID } };
      const patch = ['patch', 'ltiregistration', 'canvas', here, '--type=merge'];
      await succeed([...patch, '--subresource=status', `--patch=${JSON.stringify({ status })}`], bed.operator);
      await succeed([...patch, '--patch={"spec":{"suspend":false}}']);
      expect((await run(['delete', 'ltiregistration', 'canvas', here, '--dry-run=server'])).code).to.equal(1);
      await succeed(['delete', 'namespace', bed.tenant, '--timeout=120s']);
    });
  });
});
