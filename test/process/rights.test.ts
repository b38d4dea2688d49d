import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { ControlPlane } from '../../dev/control-plane/control-plane.ts';
import { startControlPlane } from '../../dev/control-plane/start.ts';
import {
  canarySecretName,
  importGrantAnnotation,
  ledgerSecretName,
  ltiKeys,
  registrationLabel,
  secrets,
} from '../../src/api/names.ts';
import { isObjectNotFound } from '../../src/kube/errors.ts';
import type { ResourceType, Secret } from '../../src/kube/objects.ts';
import { eventually } from '../fixtures/command.ts';
import { FormerKey } from '../fixtures/former-keys.ts';
import {
  type Account,
  auditLogSize,
  covers,
  describeRight,
  grantedRights,
  requestsOf,
  type Request,
  type Right,
} from '../fixtures/granted-rights.ts';
import { chart, Helm } from '../fixtures/helm.ts';
import { buildIfStale, installOperator, kubectl } from '../fixtures/installed.ts';
import { makeKekDirectory } from '../fixtures/pod.ts';
import { TestRegistration } from '../fixtures/registration.ts';
import { type Overlay, render } from '../fixtures/rendered.ts';
import { Replica } from '../fixtures/replica.ts';

/**
 * Rights that no topology can do without, although the operator uses them in rare situations only. The scenario below brings each of
 * these situations about.
 *
 * - `get` of LtiRegistrations: a watch says that one is gone; the operator asks whether it is.
 * - `get` of LtiKeys: one is gone that was not shown as Retired or Revoked before; each replica asks whether it is, after half a minute.
 * - `delete` of Secrets: `spec.delivery.secretName` changed, or a registration with `deletionPolicy: Delete` was deleted.
 * - `delete` of LtiKeys: a registration with `deletionPolicy: Delete` was deleted.
 * - `create` of Leases and of the canary Secret: the first start after an installation.
 * - `update` of the canary Secret: a key-encryption key was added.
 */

interface Installation {
  readonly topology: string;
  readonly home: string;
  /** In front of the names of all objects. */
  readonly prefix?: string;
  readonly publishers?: boolean;
  readonly install: () => Promise<void>;
  readonly uninstall: () => Promise<void>;
}

const tenant = 'gradebook';
const operator = 'lti-key-operator';
const publisher = 'lti-key-publisher';
const quick = { activationDelay: '1s', overlap: '1s' };
let plane: ControlPlane;
let helm: Helm;

const installations: readonly Installation[] = [
  withKustomize('deploy', {}),
  withKustomize('deploy/one-namespace', { components: ['deploy/one-namespace'] }),
  withKustomize('deploy/publisher', { components: ['deploy/publisher'] }, true),
  withKustomize(
    'deploy/publisher/one-namespace',
    { components: ['deploy/one-namespace', 'deploy/publisher', 'deploy/publisher/one-namespace'] },
    true,
  ),
  withHelm('the chart with a prefix and publishers', 'my-'),
];

function withKustomize(topology: string, overlay: Overlay, publishers = false): Installation {
  const run = async (args: readonly string[]): Promise<void> => {
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: await render(overlay) });
    await kubectl(plane, [...args, '--filename', '-'], list);
  };
  return {
    topology,
    home: operator,
    publishers,
    install: () => run(['apply']),
    uninstall: () => run(['delete', '--wait=false']),
  };
}

function withHelm(topology: string, prefix: string): Installation {
  const home = 'keys-system';
  const run = async (args: readonly string[], values?: object): Promise<void> => {
    const { code, stderr } = await helm.run([...args, '--namespace', home], values);
    expect(code, stderr).to.equal(0);
  };
  const values = { namePrefix: prefix, publishers: { enabled: true }, crds: { enabled: false } };
  return {
    topology,
    home,
    prefix,
    publishers: true,
    install: () => run(['install', 'keys', chart, '--create-namespace'], values),
    uninstall: () => run(['uninstall', 'keys']),
  };
}

async function apply(object: object): Promise<void> {
  await kubectl(plane, ['apply', '--filename', '-'], JSON.stringify(object));
}

async function gone({ client, namespace }: TestRegistration, type: ResourceType, name: string): Promise<void> {
  await eventually(`${type.plural} ${name} is gone`, () =>
    client.get(type, namespace, name).then(
      () => false,
      (error: unknown) => isObjectNotFound(error),
    ),
  );
}

interface Running {
  readonly account: Account;
  readonly kekDir: string;
  readonly replicas: readonly Replica[];
}

/** The life of four registrations, side by side. */
async function live({ account, kekDir, replicas }: Running): Promise<void> {
  const named = (name: string): TestRegistration => new TestRegistration(plane, tenant, name);
  const [canvas, moodle, sakai, former] = [named('canvas'), named('moodle'), named('sakai'), named('former')];
  await Promise.all([
    addKek(canvas, account, kekDir).then(() => rotateAndRevoke(canvas)),
    importAndRename(moodle),
    removeAll(sakai),
    removeRetained(former, account).then(() => untilUnpublished(former, replicas)),
  ]);
  await Promise.all([canvas, moodle].map(removeAll));
  await Promise.all([canvas, moodle, sakai, former].map(({ client }) => client.close()));
}

async function rotateAndRevoke(registration: TestRegistration): Promise<void> {
  await registration.rotate('one');
  await registration.becomes('Retired,Active');
  const { kid } = await registration.delivered();
  await registration.apply({ ...quick, rotationTrigger: 'one', revokedKeyIDs: [kid] });
  await registration.becomes('Retired,Revoked,Active');
}

async function importAndRename(registration: TestRegistration): Promise<void> {
  const metadata = { name: 'old', namespace: tenant, annotations: { [importGrantAnnotation]: registration.name } };
  await apply({ apiVersion: 'v1', kind: 'Secret', metadata, stringData: { 'private.pem': new FormerKey().pem() } });
  await registration.apply({ ...quick, import: { secretName: 'old' } });
  await registration.isReady();
  await registration.apply({ ...quick, import: { secretName: 'old' }, delivery: { secretName: 'renamed' } });
  await gone(registration, secrets, registration.deliverySecretName);
}

async function removeAll(registration: TestRegistration): Promise<void> {
  await registration.apply({ ...quick, deletionPolicy: 'Delete' });
  await registration.isReady();
  const keys = await registration.keys();
  await remove(registration);
  for (const { metadata } of keys) await gone(registration, ltiKeys, metadata.name);
  await gone(registration, secrets, ledgerSecretName(registration.name));
}

/** A replica serves keys that it misses for half a minute, and then until the API server confirms that they are gone. */
async function untilUnpublished({ namespace, name }: TestRegistration, replicas: readonly Replica[]): Promise<void> {
  await eventually('no replica serves the keys that were deleted', async () => {
    const statuses = await Promise.all(replicas.map((replica) => replica.answers(namespace, name)));
    return statuses.every((status) => status === 404);
  });
}

/** An orphan, removed for good as docs/recovery.md says. */
async function removeRetained(registration: TestRegistration, { namespace, name }: Account): Promise<void> {
  await registration.apply(quick);
  await registration.isReady();
  await remove(registration);
  const selected = [`--namespace=${tenant}`, `--selector=${registrationLabel}=${registration.name}`];
  const impersonated = [`--as=system:serviceaccount:${namespace}:${name}`, '--as-group=system:masters'];
  await kubectl(plane, ['delete', 'secrets,ltikeys', ...selected, ...impersonated]);
}

async function remove({ name }: TestRegistration): Promise<void> {
  await kubectl(plane, ['delete', 'ltiregistration', name, `--namespace=${tenant}`]);
}

/** Refused until the API server has noticed that the admission policies are gone. */
async function removeEverything(): Promise<boolean> {
  const all = ['ltiregistrations,ltikeys,secrets', '--all', `--namespace=${tenant}`];
  await kubectl(plane, ['delete', ...all, '--ignore-not-found']);
  return true;
}

/** A second key-encryption key, which seals from now on: the operator records it beside the first. */
async function addKek(registration: TestRegistration, { namespace }: Account, kekDir: string): Promise<void> {
  await registration.apply(quick);
  await registration.isReady();
  const id = `kek-${randomBytes(6).toString('hex')}`;
  writeFileSync(join(kekDir, id), `${randomBytes(32).toString('base64')}\n`);
  writeFileSync(join(kekDir, 'primary'), `${id}\n`);
  await eventually('the canary Secret has both', async () => {
    const { data = {} } = await registration.client.get<Secret>(secrets, namespace, canarySecretName);
    return Object.keys(data).length === 2;
  });
}

describe('The rights of the operator, as the audit log of an API server shows their use', function () {
  // A life has several steps that each wait for a state.
  this.timeout(600_000);

  before(async function () {
    // Helm is built where it is not in the cache.
    this.timeout(900_000);
    await buildIfStale();
    plane = await startControlPlane({ auditLog: true });
    helm = await Helm.for(plane);
    await installOperator(plane);
    await kubectl(plane, ['create', 'namespace', tenant]);
  });
  after(async () => {
    helm.remove();
    await plane.stop();
  });

  for (const { topology, home, prefix = '', publishers = false, install, uninstall } of installations) {
    describe(topology, () => {
      const operatorAccount = { namespace: home, name: prefix + operator };
      const publisherAccount = { namespace: home, name: prefix + publisher };
      const accounts = publishers ? [operatorAccount, publisherAccount] : [operatorAccount];
      const granted = new Map<string, readonly Right[]>();
      const requests = new Map<string, readonly Request[]>();

      before(async () => {
        const from = auditLogSize(plane);
        await install();
        const folder = mkdtempSync(join(tmpdir(), 'lti-rights-'));
        const kekDir = join(folder, 'kek');
        makeKekDirectory(kekDir);
        const service = `${prefix}lti-key-operator-jwks`;
        const replicas: Replica[] = [];
        const start = async (deployment: string): Promise<void> => {
          const replica = await Replica.start({ plane, namespace: home, deployment: prefix + deployment, kekDir });
          replicas.push(replica);
          await replica.join(service);
        };
        try {
          await start(operator);
          if (publishers) await start(publisher);
          await live({ account: operatorAccount, kekDir, replicas });
          for (const replica of replicas) await replica.stop();
          for (const account of accounts) {
            granted.set(account.name, await grantedRights(plane, account));
            requests.set(account.name, requestsOf(plane, account, from));
          }
        } catch (error) {
          console.log(replicas.map((replica) => replica.output()).join('\n'));
          throw error;
        } finally {
          for (const replica of replicas) await replica.remove();
          rmSync(folder, { recursive: true });
          await uninstall();
          await eventually('nothing is left of a life that failed', removeEverything);
          await kubectl(plane, ['delete', 'secret', canarySecretName, `--namespace=${home}`, '--ignore-not-found']);
          await kubectl(plane, ['delete', 'leases,endpointslices', '--all', `--namespace=${home}`]);
        }
      });

      for (const { name } of accounts) {
        it(`The account ${name} uses every right that it has`, () => {
          const used = requests.get(name)!.filter(({ allowed }) => allowed);
          const unused = granted.get(name)!.filter((right) => !used.some((request) => covers(right, request)));
          expect(unused.map(describeRight)).to.deep.equal([]);
        });

        it(`The API server refuses no request of the account ${name}`, () => {
          const all = requests.get(name)!;
          expect(all.length).to.be.greaterThan(2);
          expect(all.filter(({ allowed }) => !allowed).map(describeRight)).to.deep.equal([]);
        });
      }
    });
  }

  it('deploy/publisher/alone grants exactly what deploy/publisher grants', async () => {
    const rbac = async (...components: string[]): Promise<readonly object[]> =>
      (await render({ components })).filter(({ apiVersion }) => apiVersion.startsWith('rbac.'));
    const publishers = await rbac('deploy/publisher');
    expect(publishers).not.to.deep.equal([]);
    expect(await rbac('deploy/publisher', 'deploy/publisher/alone')).to.deep.equal(publishers);
  });
});
