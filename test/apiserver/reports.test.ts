import { expect } from 'chai';
import { secrets } from '../../src/api/names.ts';
import { day, hour, minute } from '../../src/domain/duration.ts';
import { controlPlane } from '../fixtures/control-plane.ts';
import { FrozenReplica } from '../fixtures/frozen-replica.ts';
import { eventsOf } from '../fixtures/refused-requests.ts';
import { forgetCanaries, startOperator, type Operator } from '../fixtures/operator.ts';
import { eventually, Tenant } from '../fixtures/tenant.ts';

/** What people see who only look: kubectl get, events, the log, a metric. */
describe('Reports about a registration', () => {
  let tenant: Tenant;
  let operator: Operator;
  let others: readonly string[] = [];

  before(async () => {
    await forgetCanaries();
    tenant = await Tenant.inNewNamespace('told');
    operator = await startOperator({ namespaces: [tenant.namespace], targets: (own) => [own, ...others] });
  });
  after(async () => {
    await operator.stop();
    await tenant.leave();
  });

  const inStep = (name: string): Promise<void> => tenant.untilInStep(operator.url, name);
  const column = async (name: string): Promise<string | undefined> => {
    const args = ['get', 'ltireg', name, `--namespace=${tenant.namespace}`];
    const { stdout } = await controlPlane().kubectlRun(args);
    const [head = '', row = ''] = stdout.split('\n');
    return row.slice(head.indexOf('STATUS')).split(' ')[0];
  };
  const shows = (name: string, status: string): Promise<void> =>
    eventually(async () => expect(await column(name)).to.equal(status));
  /** Log lines about one registration with this reason, as `level: message`. */
  const logged = (name: string, reason: string): readonly string[] =>
    operator.lines
      .filter(({ fields }) => fields.namespace === tenant.namespace && fields.name === name && fields.reason === reason)
      .map(({ level, message }) => `${level}: ${message}`);
  /** One event and one log line about each of `messages`, and no other with this reason. */
  const toldOnce = async (name: string, reason: string, messages: readonly RegExp[], warns = true): Promise<void> => {
    await eventually(async () => {
      const events = await eventsOf(tenant, reason, name);
      const lines = logged(name, reason);
      expect(events, 'events').to.have.length(messages.length);
      expect(lines, 'log lines').to.have.length(messages.length);
      for (const message of messages) {
        for (const [level, told] of [
          [warns ? 'Warning: ' : 'Normal: ', events],
          [warns ? 'warn: ' : 'info: ', lines],
        ] as const) {
          expect(told.some((each) => each.startsWith(level) && message.test(each))).to.equal(true);
        }
      }
    });
  };

  it('A registration that no operator has seen has observedGeneration -1', async () => {
    const stranger = await Tenant.inNewNamespace('unseen');
    const { status, metadata } = await stranger.apply('canvas');
    expect(status).to.deep.equal({ observedGeneration: -1 });
    expect(metadata.generation).to.equal(1);
    await stranger.leave();
  });

  it('The operator reports once that the first key signs', async () => {
    await tenant.apply('first');
    await inStep('first');
    await operator.travel(2 * minute);
    const { kid } = await tenant.delivered('first');
    await toldOnce('first', 'KeyActivated', [new RegExp(`key ${kid} is now the signing key`)], false);
    await shows('first', 'Ready');
  });

  it('The operator reports once that a registration is stalled, and once that it no longer is', async () => {
    await tenant.apply('short', { overlap: '5m', activationDelay: '2h', rotateAfter: '10d' });
    await tenant.untilSays('short', 'Stalled', 'True OverlapTooShort');
    await operator.travel(3 * hour);
    await toldOnce('short', 'OverlapTooShort', [/raise it to at least 1h/]);
    await shows('short', 'Stalled');
    await tenant.edit('short', { overlap: '2h' });
    await tenant.untilSays('short', 'Stalled', 'False NotStalled');
    await toldOnce('short', 'NotStalled', [/nothing blocks rotation/], false);
    await shows('short', 'Ready');
  });

  it('The operator reports every key that awaits acknowledgement, although the condition does not change', async () => {
    await tenant.apply('manual', { keyDistribution: 'Manual', rotationTrigger: 'a' });
    await tenant.untilSays('manual', 'ActionRequired', 'True AcknowledgementRequired');
    await toldOnce('manual', 'AcknowledgementRequired', [/of LtiKey manual-1 at the platform/]);
    await shows('manual', 'ActionRequired');
    await tenant.edit('manual', { rotationTrigger: 'b' });
    await toldOnce('manual', 'AcknowledgementRequired', [/of LtiKey manual-1 /, /of LtiKey manual-2 /]);
    await tenant.edit('manual', { acknowledgedKeyID: (await tenant.key('manual-2')).spec.keyID });
    await toldOnce('manual', 'NoActionRequired', [/no action is required/], false);
    await shows('manual', 'Rotating');
  });

  it('The operator reports that the signing key is no longer served, and that it is again', async () => {
    await tenant.apply('unserved');
    await inStep('unserved');
    await operator.rest();
    const ready = logged('unserved', 'SigningKeyReady').length;
    const replica = await FrozenReplica.before(operator.url);
    replica.freeze();
    others = [replica.url];
    await operator.travel(2 * minute);
    await tenant.untilSays('unserved', 'Ready', 'False NotServedByAllReplicas');
    await toldOnce('unserved', 'NotServedByAllReplicas', [new RegExp(replica.url)]);
    await shows('unserved', 'Pending');
    replica.thaw();
    await operator.travel(2 * minute);
    await inStep('unserved');
    await operator.rest();
    expect(logged('unserved', 'SigningKeyReady')).to.have.length(ready + 1);
    others = [];
    await replica.close();
  });

  it('The phase summarizes a registration in one word', async () => {
    await tenant.apply('word', { rotationTrigger: 'a' });
    await shows('word', 'Ready');
    await tenant.edit('word', { rotationTrigger: 'b' });
    await shows('word', 'Rotating');
    await inStep('word');
    const { status } = await tenant.registration('word');
    const waits = await tenant.condition('word', 'Reconciling');
    expect(waits?.reason).to.equal('WaitingForActivation');
    expect(waits?.message).to.include(status?.nextKey?.activateAfter ?? '?');
    await operator.travel(25 * hour);
    await tenant.untilStates('word', 'word-1 Retiring, word-2 Active');
    await tenant.edit('word', { suspend: true });
    await shows('word', 'Suspended');
    await tenant.edit('word', { suspend: false });
    const replica = await FrozenReplica.before(operator.url);
    others = [replica.url];
    const kid = (await tenant.key('word-2')).spec.keyID;
    await tenant.servedOf(replica.url, 'word');
    replica.freeze();
    await tenant.edit('word', { revokedKeyIDs: [kid] });
    await shows('word', 'Revoking');
    others = [];
    await replica.close();
    await tenant.remove(secrets, 'word-lti-keys');
    await operator.travel(2 * minute);
    await shows('word', 'Stalled');
  });

  it('lti_rotations_total counts rotations, and not first keys', async () => {
    const counted = async (result: string): Promise<number> => {
      const line = (await operator.metrics()).match(
        new RegExp(`^lti_rotations_total\\{result="${result}"\\} (\\d+)$`, 'm'),
      );
      return Number(line?.[1] ?? NaN);
    };
    const [started, activated] = [await counted('started'), await counted('activated')];
    await tenant.apply('counted', { rotationTrigger: 'a' });
    await inStep('counted');
    await operator.rest();
    expect([await counted('started'), await counted('activated')]).to.deep.equal([started, activated]);
    await tenant.edit('counted', { rotationTrigger: 'b' });
    await tenant.untilStates('counted', 'counted-1 Active, counted-2 Next');
    await inStep('counted');
    await operator.rest();
    expect([await counted('started'), await counted('activated')]).to.deep.equal([started + 1, activated]);
    await operator.travel(day + hour);
    await tenant.untilStates('counted', 'counted-1 Retiring, counted-2 Active');
    await operator.rest();
    expect(await counted('activated')).to.equal(activated + 1);
  });

  it('Every log line names its registration by namespace and name', () => {
    const about = operator.lines.filter(({ fields }) => JSON.stringify(fields).includes(tenant.namespace));
    expect(about).to.have.length.above(10);
    for (const { fields, message } of about) {
      expect(fields, message).to.not.have.any.keys('key', 'registration');
      expect(fields.namespace, message).to.equal(tenant.namespace);
    }
  });
});
