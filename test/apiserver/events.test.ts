import { expect } from 'chai';

import { events as eventType } from '../../src/api/names.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { EventRecorder, type KubeEvent } from '../../src/kube/events.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { recordingLog } from '../fakes/recording-log.ts';
import { controlPlane, createNamespace } from '../fixtures/control-plane.ts';

const configMaps = { group: '', version: 'v1', kind: 'ConfigMap', plural: 'configmaps' };

describe('EventRecorder on a real API server', () => {
  let client: KubeClient;
  let object: KubeObject;
  let namespace: string;
  const { log, lines } = recordingLog();

  before(async () => {
    client = KubeClient.load({ kubeconfig: controlPlane().kubeconfig, clock: systemClock });
    namespace = await createNamespace('events');
    const kind = { apiVersion: 'v1', kind: 'ConfigMap' };
    const metadata = { namespace, name: 'an.object-with-a-name' };
    object = { ...(await client.create(configMaps, { ...kind, metadata })), ...kind };
  });
  after(() => client.close());

  const recorder = (): EventRecorder => new EventRecorder({ client, clock: systemClock, log, instance: 'pod-1' });

  /** The events with this reason, in this namespace. */
  async function written(reason: string): Promise<readonly KubeEvent[]> {
    const { items } = await client.list<KubeEvent>(eventType, { namespace });
    return items.filter((event) => event.reason === reason);
  }

  it('The recorder writes an event that kubectl describe shows', async () => {
    const events = recorder();
    events.record(object, 'Warning', 'KEKMissing', 'Seal', 'There is no KEK.');
    await events.flush();
    const [event, ...more] = await written('KEKMissing');
    expect(more).to.deep.equal([]);
    expect(event).to.deep.include({
      note: 'There is no KEK.',
      type: 'Warning',
      reportingController: 'lti-key-operator',
    });
    expect(event?.regarding['uid']).to.equal(object.metadata.uid);
    const { stdout } = await controlPlane().kubectlRun([
      'describe',
      'configmap',
      object.metadata.name,
      '-n',
      namespace,
    ]);
    expect(stdout).to.match(/Warning\s+KEKMissing.*There is no KEK\./u);
  });

  it('The recorder truncates a note to the length that the API server accepts, in bytes', async () => {
    const events = recorder();
    events.record(object, 'Normal', 'LongNote', 'Say', 'é'.repeat(600));
    await events.flush();
    expect((await written('LongNote'))[0]?.note).to.equal(`${'é'.repeat(510)}…`);
  });

  it('The API server accepted every event of the recorder', () => expect(lines).to.deep.equal([]));
});
