import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse, stringify } from 'yaml';
import { Prometheus, type Target } from '../../dev/dashboards/prometheus.ts';
import { ledgerEntry, operatorName, secrets } from '../../src/api/names.ts';
import { registrationFile } from '../../src/documents/document-names.ts';
import { makeCertificate } from '../fixtures/certificate.ts';
import { kubeconfigVia } from '../fixtures/accelerated-life.ts';
import { type FaultProxy, startProxy } from '../fixtures/fault-proxy.ts';
import { eventually, type RunningCommand } from '../fixtures/command.ts';
import { controlPlane, createNamespace } from '../fixtures/control-plane.ts';
import { FrozenReplica } from '../fixtures/frozen-replica.ts';
import { buildIfStale, installOperator, kubectl } from '../fixtures/installed.ts';
import { JwksProcess } from '../fixtures/jwks-process.ts';
import { policy, type Obstacle } from '../fixtures/refused-requests.ts';
import { OneNamespace } from '../fixtures/one-namespace.ts';
import { Pod } from '../fixtures/pod.ts';
import { TestRegistration } from '../fixtures/registration.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
}

const root = join(import.meta.dirname, '../..');
const { groups }: { groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[] } = parse(
  readFileSync(join(root, 'deploy/alerts.yaml'), 'utf8'),
);
const alerts = groups.flatMap(({ rules }) => rules.map(({ alert }) => alert)).toSorted();

/** The rules of deploy/alerts.yaml, of which only `for` is changed: a fault has to last a second instead of minutes or days. */
function compressedRules(folder: string): string {
  const compressed = groups.map((group) => ({ ...group, rules: group.rules.map((rule) => ({ ...rule, for: '1s' })) }));
  const file = join(folder, 'alerts.yaml');
  writeFileSync(file, stringify({ groups: compressed }));
  return file;
}

const hour = 3_600_000;
const daysAgo = (days: number): Date => new Date(Date.now() - days * 86_400_000);

/** Processes of the operator with real faults, and a Prometheus that scrapes them. */
describe('The alerts of deploy/alerts.yaml', function () {
  // Each test waits for several alerts, one after the other.
  this.timeout(600_000);
  const folder = mkdtempSync(join(tmpdir(), 'lti-alerts-'));
  const namespaces = { work: '', refusing: '', unread: '' };
  const registrations = new Map<string, TestRegistration>();
  const obstacles: Obstacle[] = [];
  let account: OneNamespace;
  let proxy: FaultProxy;
  let pods: Readonly<Record<'leader' | 'standby' | 'silent' | 'expired' | 'expiring', Pod>>;
  let forged: JwksProcess;
  let frozen: FrozenReplica;
  let leader: RunningCommand;
  let prometheus: Prometheus;

  before(async () => {
    await buildIfStale();
    await installOperator(controlPlane());
    for (const name of ['work', 'refusing', 'unread'] as const) namespaces[name] = await createNamespace(name);
    account = await OneNamespace.for(namespaces.work);
    await account.alsoFor(namespaces.refusing);
    proxy = await startProxy(controlPlane());
    const kubeconfig = kubeconfigVia(account.kubeconfig, proxy.url, folder);
    const pod = (): Promise<Pod> => Pod.create({ kubeconfig, namespace: namespaces.work });
    const [first, standby, silent, expired, expiring] = [
      await pod(),
      await pod(),
      await pod(),
      await pod(),
      await pod(),
    ];
    pods = { leader: first, standby, silent, expired, expiring };
    forged = await JwksProcess.create();
    frozen = await FrozenReplica.before(pods.leader.jwksUrl);
    prometheus = await Prometheus.start(targets(), compressedRules(folder));
    pods.leader.startSidecar();
    await eventually('it runs', async () => (await fetch(`${pods.leader.sidecarAdminUrl}/healthz`)).ok);
    const probed = [pods.leader.jwksUrl, frozen.url].map((url) => `--jwks-probe-url=${url}`);
    const port = `--jwks-admin-port=${new URL(pods.leader.sidecarAdminUrl).port}`;
    leader = pods.leader.startController([
      '--leader-elect',
      `--namespace=${namespaces.refusing}`,
      '--resync=10s',
      port,
      ...probed,
    ]);
    await pods.leader.ready();
    for (const name of ['canvas', 'revoked', 'aging', 'suspended', 'former', 'damaged', 'overdue']) await apply(name);
    for (const each of registrations.values()) await each.isReady();
  });
  after(async () => {
    await prometheus.stop();
    await Promise.all([...Object.values(pods).map((each) => each.remove()), forged.remove()]);
    await Promise.all([...registrations.values()].map(({ client }) => client.close()));
    for (const each of obstacles) await each.remove();
    await proxy.close();
    rmSync(folder, { recursive: true });
  });

  function targets(): readonly Target[] {
    const controllers = [pods.leader, pods.standby].map((each) => ({ url: each.controllerAdminUrl, jwks: false }));
    const served = [pods.leader, pods.silent, pods.expired, pods.expiring].map((each) => each.sidecarAdminUrl);
    const sidecars = [...served, forged.adminUrl].map((url) => ({ url, jwks: true }));
    return [...controllers, ...sidecars].map(({ url, jwks }, index) => ({
      address: new URL(url).host,
      pod: `lti-key-operator-${index}`,
      container: jwks ? 'jwks' : 'controller',
      port: jwks ? 'admin' : 'metrics',
    }));
  }

  async function apply(name: string, spec: object = {}, namespace = namespaces.work): Promise<TestRegistration> {
    const registration = registrations.get(name) ?? new TestRegistration(controlPlane(), namespace, name);
    registrations.set(name, registration);
    await registration.apply(spec);
    return registration;
  }

  async function firing(query: string): Promise<readonly string[]> {
    const series = await prometheus.instant(`count by (alertname) (${query})`);
    return series.map(({ metric }) => metric['alertname']!).toSorted();
  }

  /** Waits until each of them has fired since the test began. */
  async function fires(...names: readonly string[]): Promise<void> {
    await eventually(`${names.join()} fire`, async () => {
      const fired = await firing('max_over_time(ALERTS{alertstate="firing"}[10m])');
      const missing = names.filter((name) => !fired.includes(name));
      if (missing.length > 0) throw new Error(`${missing.join()} did not fire`);
      return true;
    });
  }

  it('No alert fires while nothing is wrong, except that nothing was fetched yet', async () => {
    // The other processes are down, which no alert but those for absent metrics reports.
    await eventually('nothing fires', async () => {
      const now = await firing('ALERTS{alertstate="firing"}');
      const unexpected = now.filter((name) => name !== 'LTIJWKSNeverFetched');
      if (unexpected.length > 0) throw new Error(unexpected.join());
      return (await prometheus.instant('lti_registration_ready == 1')).length === registrations.size;
    });
  });

  it('Alerts about sidecars fire: no sync, no sync for 11 minutes, 503, a private key in a document, certificates', async () => {
    const certificates = {
      expired: makeCertificate(folder, 'expired', daysAgo(90), daysAgo(1)),
      expiring: makeCertificate(folder, 'expiring', daysAgo(90), daysAgo(-5)),
    };
    pods.silent.startSidecar();
    for (const [name, { certificate, key }] of Object.entries(certificates)) {
      pods[name as keyof typeof certificates].startSidecar([`--tls-cert=${certificate}`, `--tls-key=${key}`]);
    }
    await forged.start();
    const { 'private.jwk': privateJwk } = await registrations.get('canvas')!.delivered();
    forged.publish(registrationFile('work', 'canvas'), `{"keys":[${privateJwk}]}`);
    await eventually('it answers 503 again and again', async () => {
      for (let count = 0; count < 5; count++) await (await fetch(pods.silent.registrationUrl('canvas'))).body?.cancel();
      return (await firing('ALERTS{alertname="LTIJWKSErrors",alertstate="firing"}')).length > 0;
    });
    await fires('LTIJWKSNeverSynced', 'LTIJWKSErrors', 'LTIJWKSFileRefused');
    forged.losePublisher(660);
    await fires('LTIJWKSStale');
    await fires('LTIJWKSCertificateExpired', 'LTIJWKSCertificateExpires');
  });

  it('Alerts about registrations fire: stalled, waiting, suspended, orphaned, damaged, refused, unanswered, overdue, revoked but served', async () => {
    frozen.freeze();
    const { work, refusing } = namespaces;
    const refused = { operation: 'CREATE', apiGroup: '', resource: 'secrets', message: 'no new Secrets here' } as const;
    const silenced = { ...refused, apiGroup: 'events.k8s.io', resource: 'events', message: 'no events here' } as const;
    obstacles.push(await policy(refusing, refused), await policy(work, silenced));
    const { kid } = await registrations.get('revoked')!.delivered();
    await apply('revoked', { revokedKeyIDs: [kid] });
    await apply('canvas', { revokedKeyIDs: ['unknown'] });
    await apply('aging', { rotateAfter: '5s', activationDelay: '1s', overlap: '1s' });
    await apply('suspended', { rotateAfter: '5s', activationDelay: '1s', overlap: '1s', suspend: true });
    await apply('pasted', { keyDistribution: 'Manual' });
    await apply('moved', { import: { secretName: 'missing' } });
    await apply('refused', {}, refusing);
    await kubectl(controlPlane(), ['delete', 'ltiregistration', 'former', `--namespace=${work}`]);
    await changeLedger(registrations.get('damaged')!, () => '{');
    // As after an outage of the operator: its rotation was due two hours ago, and a replica that is frozen does not serve the next key.
    await changeLedger(registrations.get('overdue')!, (ledger) =>
      ledger.replace(/(?<="activatedAt": ")[^"]+/, new Date(Date.now() - 3 * hour).toISOString()),
    );
    proxy.decide = ({ what }) =>
      what === 'POST secrets/unanswered-lti-keys'
        ? { kind: 'answer', status: 503, reason: 'ServiceUnavailable' }
        : undefined;
    await apply('unanswered');
    await fires('LTIRegistrationStalled', 'LTIRegistrationNotReady', 'LTIActionRequired', 'LTIUnknownRevokedKeyID');
    await fires('LTISuspendedDue', 'LTISigningKeyTooOld', 'LTIOrphanedKeys', 'LTIKeyMaterialUnavailable');
    await fires('LTIWriteRefused', 'LTIEventsDropped', 'LTIRevocationNotEffective', 'LTIRotationOverdue');
    await fires('LTIReconcileErrors');
    // A replica that is gone serves no signing key.
    await frozen.close();
    // No platform fetched any of the documents.
    await fires('LTIActiveKeyNotPublished', 'LTIJWKSNeverFetched');
  });

  it('Alerts about the operator fire: no KEK, no endpoint, a forbidden namespace, no publish directory, another clock, no leader', async () => {
    const { standby } = pods;
    proxy.aheadSeconds = 100;
    for (const file of readdirSync(standby.kekDir)) rmSync(join(standby.kekDir, file));
    standby.startController(['--leader-elect', '--jwks-service=none', `--namespace=${namespaces.unread}`]);
    await eventually('it runs', async () => (await fetch(`${standby.controllerAdminUrl}/healthz`)).ok);
    rmSync(standby.publishDir, { recursive: true });
    writeFileSync(standby.publishDir, 'a file where a directory is expected');
    await fires('LTIKEKUnavailable', 'LTIJWKSNoReplica', 'LTINamespaceNotRead', 'LTIPublishFailing', 'LTIClockSkew');
    await leader.kill();
    const lease = ['patch', 'lease', operatorName, `--namespace=${account.namespace}`, '--type=merge'];
    const spec = { holderIdentity: 'a-process-that-hangs', leaseDurationSeconds: 3600 };
    await kubectl(controlPlane(), [...lease, `--patch=${JSON.stringify({ spec })}`]);
    await fires('LTINoLeader');
  });

  it('Alerts about missing processes fire, and then every alert has fired', async () => {
    await Promise.all([...Object.values(pods).map((each) => each.remove()), forged.remove()]);
    await fires('LTIOperatorAbsent', 'LTIJWKSAbsent');
    const fired = await firing('max_over_time(ALERTS{alertstate="firing"}[10m])');
    expect(fired).to.deep.equal(alerts);
  });

  /** As an administrator who edits or restores it, and lets the operator read it. */
  async function changeLedger(registration: TestRegistration, change: (ledger: string) => string): Promise<void> {
    await eventually('the ledger is changed between two writes of the operator', async () => {
      const secret = await registration.ledgerSecret();
      const before = Buffer.from(secret.data![ledgerEntry]!, 'base64').toString();
      const data = { ...secret.data, [ledgerEntry]: Buffer.from(change(before)).toString('base64') };
      await registration.client.replace(secrets, { ...secret, data });
      return true;
    });
    await registration.rotate('now');
  }
});
