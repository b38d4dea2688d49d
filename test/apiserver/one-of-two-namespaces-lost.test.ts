import { expect } from 'chai';
import { allKeysPath, ltiRegistrations, namespacePath, registrationPath } from '../../src/api/names.ts';
import { absenceGraceMs } from '../../src/publish/published-key.ts';
import { OneNamespace } from '../fixtures/one-namespace.ts';
import { makeKekDirectory, type Operator, startOperator, until } from '../fixtures/operator.ts';
import { eventually, Tenant } from '../fixtures/tenant.ts';

describe('An operator for two namespaces that loses the RoleBinding of one', () => {
  let stays: Tenant;
  let leaves: Tenant;
  let account: OneNamespace;
  let kekDir: string;
  let operator: Operator;

  async function start(): Promise<void> {
    const namespaces = [stays.namespace, leaves.namespace];
    operator = await startOperator({ namespaces, kubeconfig: account.kubeconfig, kekDir });
  }

  async function statuses(...paths: readonly string[]): Promise<readonly number[]> {
    return Promise.all(paths.map(async (path) => (await stays.served(operator.url, path)).status));
  }

  async function metric(name: string): Promise<readonly string[]> {
    return (await operator.metrics()).split('\n').filter((line) => line.startsWith(name));
  }

  /** The kinds that the operator says it cannot read in the namespace that it lost. */
  function refusals(): readonly string[] {
    const said = operator.lines.filter(({ message }) => message === 'watch failed; retrying');
    return said
      .filter(({ fields }) => fields.namespace === leaves.namespace)
      .map(({ fields }) => String(fields.resource));
  }

  before(async () => {
    stays = await Tenant.inNewNamespace('stays');
    leaves = await Tenant.inNewNamespace('leaves');
    account = await OneNamespace.for(stays.namespace);
    await account.alsoFor(leaves.namespace);
    kekDir = await makeKekDirectory();
    await start();
    for (const tenant of [stays, leaves]) await tenant.apply('canvas');
    for (const tenant of [stays, leaves]) await tenant.untilInStep(operator.url, 'canvas');
    await operator.stop();
    await account.dismissFrom(leaves.namespace);
    await start();
    await until(() => refusals().length === 2, 'both watches are refused');
  });
  after(async () => {
    await operator.stop();
    for (const tenant of [stays, leaves]) await tenant.leave();
  });

  it('The operator becomes ready after a restart and serves the other namespace', async () => {
    await until(async () => (await stays.servedOf(operator.url, 'canvas')).status === 200, 'its document is served');
    await eventually(async () => expect(await statuses(namespacePath(stays.namespace))).to.deep.equal([200]));
    expect(await statuses(registrationPath(stays.namespace, 'none'), registrationPath('none', 'none'))).to.deep.equal([
      404, 404,
    ]);
  });

  it('The sidecar answers 503 for the namespace that cannot be read and for the document of all', async () => {
    const { namespace } = leaves;
    const paths = [
      registrationPath(namespace, 'canvas'),
      registrationPath(namespace, 'none'),
      namespacePath(namespace),
    ];
    expect(await statuses(...paths, allKeysPath)).to.deep.equal([503, 503, 503, 503]);
  });

  it('Metrics and one log line per kind name the namespace that cannot be read', async () => {
    const of = (resource: string, { namespace }: Tenant): string => `{resource="${resource}",namespace="${namespace}"}`;
    expect(await metric('lti_watch_current{')).to.include.members([
      `lti_watch_current${of('ltikeys', stays)} 1`,
      `lti_watch_current${of('ltikeys', leaves)} 0`,
      `lti_watch_current${of('ltiregistrations', leaves)} 0`,
    ]);
    expect((await metric('lti_watch_current_timestamp')).join()).to.not.include(leaves.namespace);
    expect(refusals()).to.have.members(['ltikeys', 'ltiregistrations']);
  });

  it('The operator makes and revokes keys of the other namespace', async () => {
    await stays.apply('moodle', { deletionPolicy: 'Delete' });
    await stays.untilSays('moodle', 'Ready', 'True SigningKeyReady');
    const { kid } = await stays.delivered('canvas');
    await stays.edit('canvas', { revokedKeyIDs: [kid] });
    await stays.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active');
    await stays.untilSays('canvas', 'Ready', 'True SigningKeyReady');
    // The sidecar follows a moment after the status.
    await eventually(async () => {
      expect((await stays.servedOf(operator.url, 'canvas')).keyIDs).to.not.include(kid);
    });
    expect(await statuses(allKeysPath)).to.deep.equal([503]);
  });

  it('The operator reports no key-encryption key as unused while a namespace cannot be read', async () => {
    await operator.rest();
    expect(await metric('lti_sealed_keys_complete')).to.deep.equal(['lti_sealed_keys_complete 0']);
    expect((await metric('lti_sealed_keys{')).filter((line) => line.endsWith(' 0'))).to.deep.equal([]);
  });

  it('The operator recovers without a restart once the namespace can be read again', async () => {
    await account.alsoFor(leaves.namespace);
    const { keyIDs } = await until(async () => {
      const served = await leaves.servedOf(operator.url, 'canvas');
      return served.status === 200 && served;
    }, 'its document is served');
    const all = await until(async () => {
      const served = await leaves.served(operator.url, allKeysPath);
      return served.status === 200 && served;
    }, 'the document of all namespaces is served');
    expect(all.keyIDs).to.include.members([...keyIDs, ...(await stays.servedOf(operator.url, 'canvas')).keyIDs]);
    await until(
      async () => (await metric('lti_watch_current{')).every((line) => line.endsWith(' 1')),
      'all is current',
    );
    await leaves.apply('moodle');
    await leaves.untilInStep(operator.url, 'moodle');
  });

  it('The operator keeps serving a namespace that it can no longer read, and reports its age', async () => {
    await account.dismissFrom(leaves.namespace);
    const isRefused = async (): Promise<boolean> =>
      (await metric('lti_watch_current{')).filter((line) => line.endsWith(' 0')).length === 2;
    // A watch lasts up to 25 s, and is only refused when it begins.
    await until(isRefused, 'the right is gone');
    const syncedAt = async (): Promise<number> =>
      Number((await metric('lti_publish_last_sync_timestamp_seconds'))[0]?.split(' ')[1]);
    const before = await syncedAt();
    await stays.apply('sakai', { deletionPolicy: 'Delete' });
    await stays.untilInStep(operator.url, 'sakai');
    await stays.remove(ltiRegistrations, 'sakai');
    await until(async () => (await stays.keys('sakai')).length === 0, 'its LtiKeys are removed');
    await operator.travel(absenceGraceMs);
    await until(async () => (await stays.servedOf(operator.url, 'sakai')).status === 404, 'its document is removed');
    const paths = [registrationPath(leaves.namespace, 'canvas'), namespacePath(leaves.namespace), allKeysPath];
    expect(await statuses(...paths)).to.deep.equal([200, 200, 200]);
    await until(async () => (await syncedAt()) > before, 'there are heartbeats');
    const age = (await metric('lti_watch_current_timestamp')).find((line) => line.includes(leaves.namespace));
    // By the operator's clock, which has traveled.
    expect(Number(age?.split(' ')[1])).to.be.lessThan((await syncedAt()) - 1);
  });
});
