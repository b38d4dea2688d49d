import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { ControlPlane } from '../../dev/control-plane/control-plane.ts';
import { startControlPlane } from '../../dev/control-plane/start.ts';
import { ledgerEntry, secrets } from '../../src/api/names.ts';
import type { LtiKey } from '../../src/api/objects.ts';
import type { KubeObject, Secret } from '../../src/kube/objects.ts';
import { eventually, type RunningCommand } from '../fixtures/command.ts';
import { crdsServed } from '../fixtures/control-plane.ts';
import { chart, Helm } from '../fixtures/helm.ts';
import { buildIfStale, installOperator, kubectl } from '../fixtures/installed.ts';
import { Pod } from '../fixtures/pod.ts';
import { TestRegistration } from '../fixtures/registration.ts';
import { SafetyMonitor } from '../fixtures/safety-monitor.ts';

/**
 * The present operator over the CRDs and objects of an earlier one, which was stopped in the middle of two rotations: the next key of
 * `canvas` was published, and the former key of `moodle` was retiring. test/fixtures/previous-releases/README.md says how they were recorded.
 */

const releases = join(import.meta.dirname, '../fixtures/previous-releases');
const home = 'lti-key-operator';
let plane: ControlPlane;

type Stored = KubeObject & Partial<Pick<LtiKey, 'spec' | 'status'>>;

interface Recorded {
  readonly folder: string;
  readonly namespace: string;
  readonly objects: readonly Stored[];
}

function recorded(format: 1 | 2): Recorded {
  const folder = join(releases, `ledger-format-${format}`);
  const { items }: { items: readonly Stored[] } = JSON.parse(readFileSync(join(folder, 'objects.json'), 'utf8'));
  return { folder, namespace: `format-${format}`, objects: items };
}

/** As the API server had them before the upgrade. */
async function restore({ namespace, objects }: Recorded): Promise<void> {
  await kubectl(plane, ['create', 'namespace', namespace]);
  const list = { apiVersion: 'v1', kind: 'List', items: objects.map((object) => ({ ...object, status: undefined })) };
  await kubectl(plane, ['apply', '--filename', '-'], JSON.stringify(list));
  for (const { kind = '', metadata, status } of objects) {
    if (status === undefined) continue;
    const patch = ['--type=merge', '--subresource=status', `--patch=${JSON.stringify({ status })}`];
    await kubectl(plane, ['patch', kind, metadata.name, `--namespace=${metadata.namespace}`, ...patch]);
  }
}

async function applyCrds(folder: string): Promise<void> {
  const files = ['ltikeys', 'ltiregistrations'].flatMap((name) => ['--filename', join(folder, 'crds', `${name}.yaml`)]);
  await kubectl(plane, ['apply', ...files]);
  await kubectl(plane, ['wait', '--for=condition=Established', '--timeout=120s', ...files]);
  await crdsServed(plane);
}

/** Key IDs of a registration by state, as the former release recorded them. */
function keyIDs({ objects }: Recorded, registration: string): Readonly<Record<string, string>> {
  const keys = objects.filter(({ kind, spec }) => kind === 'LtiKey' && spec?.registrationRef.name === registration);
  return Object.fromEntries(keys.map(({ spec, status }) => [status!.state!, spec!.keyID]));
}

/** What both ways to upgrade have to leave behind: a tool and a platform that noticed nothing. */
function itContinues(release: Recorded, upgrade: () => Promise<string>): void {
  const { namespace, folder } = release;
  const registrations: TestRegistration[] = [];
  let pod: Pod;
  let controller: RunningCommand;

  before(async () => {
    pod = await Pod.create({ kubeconfig: await upgrade(), namespace });
    rmSync(pod.kekDir, { recursive: true });
    cpSync(join(folder, 'kek'), pod.kekDir, { recursive: true });
    registrations.push(...['canvas', 'moodle'].map((name) => new TestRegistration(plane, namespace, name)));
  });
  afterEach(function () {
    if (this.currentTest?.state === 'failed') console.log(pod.output().slice(-6000));
  });
  after(async () => {
    await pod.remove();
    await Promise.all(registrations.map(({ client }) => client.close()));
  });

  it('Platforms accept every token of the tool while the operator ends the rotations', async () => {
    pod.startSidecar();
    const monitors = registrations.map((each) => new SafetyMonitor(each, pod.registrationUrl(each.name)));
    controller = pod.startController();
    await pod.ready();
    for (const each of registrations) await each.becomes('Retired,Active');
    for (const each of registrations) await each.isReady();
    for (const [index, monitor] of monitors.entries()) {
      const { verified, violations, delivered } = await monitor.stop();
      expect(violations).to.deep.equal([]);
      expect(verified).to.be.greaterThan(10);
      const { Active: active, Next: next } = keyIDs(release, registrations[index]!.name);
      expect(delivered).to.deep.equal(next === undefined ? [active] : [active, next]);
    }
  });

  it('The operator writes the ledgers in its own format and creates no key', async () => {
    for (const each of registrations) {
      const { data } = await each.ledgerSecret();
      const { formatVersion, keys } = JSON.parse(Buffer.from(data![ledgerEntry]!, 'base64').toString());
      expect(formatVersion).to.equal(2);
      expect(keys.map(({ keyID }: { keyID: string }) => keyID)).to.have.members(
        Object.values(keyIDs(release, each.name)),
      );
    }
  });

  it('An operator that starts and is older than the ledger reports LedgerFormatUnknown, publishes on and writes nothing', async () => {
    const [canvas] = registrations as [TestRegistration];
    await controller.kill();
    const newer = await withFormat(canvas, 3);
    await canvas.rotate('two');
    controller = pod.startController();
    const stalled = await eventually('it is reported', async () => {
      const condition = canvas.condition('Stalled', await canvas.get());
      return condition?.reason === 'LedgerFormatUnknown' && condition;
    });
    expect(stalled).to.include({ status: 'True' });
    const { keys } = (await (await fetch(pod.registrationUrl('canvas'))).json()) as {
      keys: readonly { kid: string }[];
    };
    expect(keys.map(({ kid }) => kid)).to.include((await canvas.delivered())['kid']);
    expect((await canvas.ledgerSecret()).metadata.resourceVersion).to.equal(newer.metadata.resourceVersion);
  });

  it('An operator that knows the format continues', async () => {
    const [canvas] = registrations as [TestRegistration];
    await controller.kill();
    await withFormat(canvas, 2);
    pod.startController();
    await canvas.becomes('Retired,Active,Next');
    await canvas.isReady();
  });
}

/** As a release that writes this format leaves the ledger. Its Secret can be replaced where no policy is installed. */
async function withFormat(registration: TestRegistration, version: number): Promise<Secret> {
  const secret = await registration.ledgerSecret();
  const text = Buffer.from(secret.data![ledgerEntry]!, 'base64').toString();
  const changed = text.replace(/"formatVersion": \d+/, `"formatVersion": ${version}`);
  const data = { ...secret.data, [ledgerEntry]: Buffer.from(changed).toString('base64') };
  return registration.client.replace<Secret>(secrets, { ...secret, data });
}

describe('An upgrade in the middle of a rotation', () => {
  before(async function () {
    // Helm is built where it is not in the cache.
    this.timeout(900_000);
    await buildIfStale();
    plane = await startControlPlane();
  });
  after(() => plane.stop());

  describe('with helm upgrade, from CRDs and ledgers of format 2', () => {
    const release = recorded(2);
    const crds = ['ltikeys', 'ltiregistrations'].map((name) => `crd/${name}.ltikeys.dev`);
    let helm: Helm;
    const run = async (command: string, folder: string, values: object): Promise<void> => {
      const { code, stderr } = await helm.run([command, 'keys', folder, `--namespace=${home}`], values);
      expect(code, stderr).to.equal(0);
    };

    after(async () => {
      await helm.run(['uninstall', 'keys', `--namespace=${home}`]);
      helm.remove();
    });

    itContinues(release, async () => {
      helm = await Helm.for(plane);
      const former = mkdtempSync(join(tmpdir(), 'former-chart-'));
      cpSync(chart, former, { recursive: true });
      for (const name of ['ltikeys', 'ltiregistrations']) {
        cpSync(join(release.folder, `crds/${name}.yaml`), join(former, `templates/crd-${name}.yaml`));
      }
      await kubectl(plane, ['create', 'namespace', home]);
      const values = { admissionPolicies: { enabled: false } };
      await run('install', former, values);
      rmSync(former, { recursive: true });
      await kubectl(plane, ['wait', '--for=condition=Established', '--timeout=120s', ...crds]);
      await crdsServed(plane);
      await restore(release);
      await run('upgrade', chart, values);
      const columns = await kubectl(plane, ['get', 'crd', 'ltiregistrations.ltikeys.dev', '--output=yaml']);
      expect(columns, 'the CRD is the present one').to.include('lastFetchTime');
      return plane.serviceAccountKubeconfig(home, home);
    });
  });

  describe('with kubectl apply, from CRDs and ledgers of format 1', () => {
    const release = recorded(1);
    itContinues(release, async () => {
      await applyCrds(release.folder);
      await restore(release);
      return installOperator(plane);
    });
  });
});
