import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { ControlPlane } from '../../dev/control-plane/control-plane.ts';
import { startControlPlane } from '../../dev/control-plane/start.ts';
import { helmProgram } from '../../dev/helm/build.ts';
import { canarySecretName } from '../../src/api/names.ts';
import { eventually } from '../fixtures/command.ts';
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
import { liveWithEveryRight, tenant } from '../fixtures/life-with-every-right.ts';
import { makeKekDirectory } from '../fixtures/pod.ts';
import { type Overlay, render } from '../fixtures/rendered.ts';
import { Replica } from '../fixtures/replica.ts';

/** A control plane, and a Helm for it. */
interface Site {
  readonly plane: ControlPlane;
  readonly helm: Helm;
}

interface Installation {
  readonly topology: string;
  readonly home: string;
  /** In front of the names of all objects. */
  readonly prefix?: string;
  readonly publishers?: boolean;
  readonly install: (site: Site) => Promise<void>;
  readonly uninstall: (site: Site) => Promise<void>;
}

/** By the names of accounts. */
interface Rights {
  readonly granted: ReadonlyMap<string, readonly Right[]>;
  readonly requests: ReadonlyMap<string, readonly Request[]>;
}

const operator = 'lti-key-operator';
const publisher = 'lti-key-publisher';
/** Lives mostly wait, so some are lived at a time: each on a control plane of its own, because operators would act on one another's. */
const siteCount = 3;

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
  const run = async ({ plane }: Site, args: readonly string[]): Promise<void> => {
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: await render(overlay) });
    await kubectl(plane, [...args, '--filename', '-'], list);
  };
  return {
    topology,
    home: operator,
    publishers,
    install: (site) => run(site, ['apply']),
    uninstall: (site) => run(site, ['delete', '--wait=false']),
  };
}

function withHelm(topology: string, prefix: string): Installation {
  const home = 'keys-system';
  const run = async ({ helm }: Site, args: readonly string[], values?: object): Promise<void> => {
    const { code, stderr } = await helm.run([...args, '--namespace', home], values);
    expect(code, stderr).to.equal(0);
  };
  const values = { namePrefix: prefix, publishers: { enabled: true }, crds: { enabled: false } };
  return {
    topology,
    home,
    prefix,
    publishers: true,
    install: (site) => run(site, ['install', 'keys', chart, '--create-namespace'], values),
    uninstall: (site) => run(site, ['uninstall', 'keys']),
  };
}

/** Refused until the API server has noticed that the admission policies are gone. */
async function removeEverything({ plane }: Site): Promise<boolean> {
  const all = ['ltiregistrations,ltikeys,secrets', '--all', `--namespace=${tenant}`];
  await kubectl(plane, ['delete', ...all, '--ignore-not-found']);
  return true;
}

function accountsOf({ home, prefix = '', publishers = false }: Installation): readonly Account[] {
  return (publishers ? [operator, publisher] : [operator]).map((name) => ({ namespace: home, name: prefix + name }));
}

/** Installs it, lives a life with it, and uninstalls it: which rights its accounts had, and which they used. */
async function observe(site: Site, installation: Installation): Promise<Rights> {
  const { plane } = site;
  const { home, prefix = '', publishers = false } = installation;
  const [account, ...others] = accountsOf(installation) as [Account, ...Account[]];
  const from = auditLogSize(plane);
  await installation.install(site);
  const folder = mkdtempSync(join(tmpdir(), 'lti-rights-'));
  const kekDir = join(folder, 'kek');
  makeKekDirectory(kekDir);
  const replicas: Replica[] = [];
  try {
    for (const deployment of publishers ? [operator, publisher] : [operator]) {
      const replica = await Replica.start({ plane, namespace: home, deployment: prefix + deployment, kekDir });
      replicas.push(replica);
      await replica.join(`${prefix}lti-key-operator-jwks`);
    }
    await liveWithEveryRight({ plane, account, kekDir, replicas });
    for (const replica of replicas) await replica.stop();
    return await rightsOf(plane, [account, ...others], from);
  } catch (error) {
    console.log(replicas.map((replica) => replica.output()).join('\n'));
    throw error;
  } finally {
    for (const replica of replicas) await replica.remove();
    rmSync(folder, { recursive: true });
    await installation.uninstall(site);
    await eventually('nothing is left of a life that failed', () => removeEverything(site));
    await kubectl(plane, ['delete', 'secret', canarySecretName, `--namespace=${home}`, '--ignore-not-found']);
    await kubectl(plane, ['delete', 'leases,endpointslices', '--all', `--namespace=${home}`]);
  }
}

async function rightsOf(plane: ControlPlane, accounts: readonly Account[], from: number): Promise<Rights> {
  const granted = new Map<string, readonly Right[]>();
  const requests = new Map<string, readonly Request[]>();
  for (const account of accounts) {
    granted.set(account.name, await grantedRights(plane, account));
    requests.set(account.name, requestsOf(plane, account, from));
  }
  return { granted, requests };
}

async function startSite(): Promise<Site> {
  const plane = await startControlPlane({ auditLog: true });
  await installOperator(plane);
  await kubectl(plane, ['create', 'namespace', tenant]);
  return { plane, helm: await Helm.for(plane) };
}

describe('The rights of the operator, as the audit log of an API server shows their use', function () {
  // A life has several steps that each wait for a state.
  this.timeout(900_000);
  const outcomes = installations.map((installation) => ({ installation, ...Promise.withResolvers<Rights>() }));
  let working: readonly Promise<void>[] = [];

  before(async () => {
    await buildIfStale();
    // Helm is built where it is not in the cache.
    await helmProgram();
    const queue = [...outcomes];
    const failed = (error: unknown): void => outcomes.forEach(({ reject }) => reject(error));
    working = Array.from({ length: siteCount }, () => workThrough(queue).catch(failed));
  });
  after(() => Promise.all(working));

  async function workThrough(queue: typeof outcomes): Promise<void> {
    const site = await startSite();
    for (let next = queue.shift(); next; next = queue.shift()) {
      await observe(site, next.installation).then(next.resolve, next.reject);
    }
    site.helm.remove();
    await site.plane.stop();
  }

  for (const { installation, promise } of outcomes) {
    describe(installation.topology, () => {
      let rights: Rights;
      before(async () => (rights = await promise));
      // A life may fail before its turn to be looked at has come.
      promise.catch(() => undefined);

      for (const { name } of accountsOf(installation)) {
        it(`The account ${name} uses every right that it has`, () => {
          const used = rights.requests.get(name)!.filter(({ allowed }) => allowed);
          const unused = rights.granted.get(name)!.filter((right) => !used.some((request) => covers(right, request)));
          expect(unused.map(describeRight)).to.deep.equal([]);
        });

        it(`The API server refuses no request of the account ${name}`, () => {
          const all = rights.requests.get(name)!;
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
