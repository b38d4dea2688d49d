import { expect } from 'chai';

import { ApiError } from '../../../src/kube/errors.ts';
import { KubeEventRecorder, type EventClient, type KubeEvent } from '../../../src/kube/events.ts';
import type { KubeObject } from '../../../src/kube/objects.ts';
import { FakeClock, settle } from '../../fakes/fake-clock.ts';
import { recordingLog, type RecordedLine } from '../../fakes/recording-log.ts';

/** Stores what is written, by name, as the API server does. */
class FakeEvents implements EventClient {
  readonly stored = new Map<string, KubeEvent>();
  failure: Error | undefined;
  writes = 0;
  /** While set, writes wait for it. */
  held: Promise<void> | undefined;

  async create(_type: unknown, event: KubeEvent): Promise<KubeEvent> {
    await this.#fault();
    const { name } = event.metadata;
    if (this.stored.has(name)) throw new ApiError('taken', { status: 409, reason: 'AlreadyExists' });
    return this.#store(event);
  }

  async replace(_type: unknown, event: KubeEvent): Promise<KubeEvent> {
    await this.#fault();
    const current = this.stored.get(event.metadata.name);
    if (current === undefined) throw new ApiError('gone', { status: 404, reason: 'NotFound', missing: 'object' });
    if (current.metadata.resourceVersion !== event.metadata.resourceVersion) {
      throw new ApiError('changed', { status: 409, reason: 'Conflict' });
    }
    return this.#store(event);
  }

  async #fault(): Promise<void> {
    this.writes += 1;
    await this.held;
    if (this.failure !== undefined) throw this.failure;
  }

  #store(event: KubeEvent): KubeEvent {
    const stored = { ...event, metadata: { ...event.metadata, resourceVersion: String(this.writes) } };
    this.stored.set(stored.metadata.name, stored);
    return stored;
  }
}

interface Bench {
  readonly clock: FakeClock;
  readonly client: FakeEvents;
  readonly dropped: string[];
  readonly lines: RecordedLine[];
  readonly recorder: KubeEventRecorder;
  readonly events: () => KubeEvent[];
}

function newRecorder(): Bench {
  const clock = new FakeClock('2026-01-01T00:00:00.500Z');
  const client = new FakeEvents();
  const dropped: string[] = [];
  const { log, lines } = recordingLog();
  const metrics = { dropped: (why: string): void => void dropped.push(why) };
  const recorder = new KubeEventRecorder({ client, clock, log, instance: 'pod-1', metrics });
  const events = (): KubeEvent[] => [...client.stored.values()];
  return { clock, client, dropped, lines, recorder, events };
}

const registration = (name = 'canvas', uid = 'uid-1'): KubeObject => ({
  apiVersion: 'ltikeys.dev/v1alpha1',
  kind: 'LtiRegistration',
  metadata: { namespace: 'gradebook', name, uid, resourceVersion: '7' },
});

function throwClosed(): never {
  throw new TypeError('closed');
}

describe('KubeEventRecorder', () => {
  it('writes an event beside the object it is about', async () => {
    const { recorder, events, client } = newRecorder();
    recorder.record(registration(), 'Normal', 'Rotated', 'Rotate', 'Key 2 signs.');
    expect(client.writes, 'record does not wait').to.be.lessThan(2);
    await recorder.flush();
    const [{ metadata, ...event } = { metadata: { name: '' } }] = events();
    expect(metadata.namespace).to.equal('gradebook');
    expect(metadata.name).to.match(/^canvas\.[0-9a-f]+$/u);
    expect(event).to.deep.equal({
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      eventTime: '2026-01-01T00:00:00.500000Z',
      reportingController: 'lti-key-operator',
      reportingInstance: 'pod-1',
      action: 'Rotate',
      reason: 'Rotated',
      regarding: {
        apiVersion: 'ltikeys.dev/v1alpha1',
        kind: 'LtiRegistration',
        namespace: 'gradebook',
        name: 'canvas',
        uid: 'uid-1',
        resourceVersion: '7',
      },
      note: 'Key 2 signs.',
      type: 'Normal',
    });
  });

  it('puts the event of a cluster-scoped object into default', async () => {
    const { recorder, events } = newRecorder();
    recorder.record({ kind: 'Node', metadata: { name: 'n1' } }, 'Normal', 'R', 'A', 'n');
    await recorder.flush();
    expect(events()[0]?.metadata.namespace).to.equal('default');
    expect(events()[0]?.regarding).to.deep.equal({ kind: 'Node', name: 'n1' });
  });

  it('counts repetitions within ten minutes of each other in one event', async () => {
    const { recorder, events, clock } = newRecorder();
    for (let minute = 0; minute < 30; minute += 10) {
      recorder.record(registration(), 'Warning', 'KEKMissing', 'Seal', 'No KEK.');
      await recorder.flush();
      await clock.advance(600_000);
    }
    expect(events()).to.have.length(1);
    expect(events()[0]?.series).to.deep.equal({ count: 3, lastObservedTime: '2026-01-01T00:20:00.500000Z' });
    await clock.advance(1);
    recorder.record(registration(), 'Warning', 'KEKMissing', 'Seal', 'No KEK.');
    await recorder.flush();
    expect(events()).to.have.length(2);
    expect(events()[1]?.series).to.equal(undefined);
  });

  for (const [what, second] of [
    ['object', { object: registration('canvas', 'uid-2') }],
    ['reason', { reason: 'Other' }],
    ['note', { note: 'Another.' }],
  ] as const) {
    it(`keeps events apart that differ in their ${what}`, async () => {
      const { recorder, events } = newRecorder();
      const first = { object: registration(), reason: 'R', note: 'Note.' };
      for (const { object, reason, note } of [first, { ...first, ...second }]) {
        recorder.record(object, 'Normal', reason, 'A', note);
      }
      await recorder.flush();
      expect(events()).to.have.length(2);
    });
  }

  it('writes occurrences that come during a write together', async () => {
    const { recorder, events, client } = newRecorder();
    let release: (() => void) | undefined;
    client.held = new Promise((resolve) => (release = resolve));
    for (let n = 0; n < 10; n++) recorder.record(registration(), 'Normal', 'R', 'A', 'Note.');
    release?.();
    await recorder.flush();
    expect(client.writes).to.equal(2);
    expect(events()[0]?.series?.count).to.equal(10);
  });

  it('writes 25 events of one object at once and one more every five minutes, without holding back others', async () => {
    const { recorder, events, clock, dropped } = newRecorder();
    for (let n = 0; n < 30; n++) recorder.record(registration(), 'Normal', 'R', 'A', `Note ${n}.`);
    recorder.record(registration('moodle', 'uid-2'), 'Normal', 'R', 'A', 'Note.');
    await recorder.flush();
    expect(events()).to.have.length(26);
    expect(dropped).to.deep.equal(Array.from({ length: 5 }, () => 'rate_limited'));
    await clock.advance(300_000);
    recorder.record(registration(), 'Normal', 'R', 'A', 'Later.');
    recorder.record(registration(), 'Normal', 'R', 'A', 'Too many.');
    await recorder.flush();
    expect(events()).to.have.length(27);
  });

  it('lets at most 1000 events wait', async () => {
    const { recorder, client, dropped, events } = newRecorder();
    let release: (() => void) | undefined;
    client.held = new Promise((resolve) => (release = resolve));
    for (let n = 0; n < 1010; n++) recorder.record(registration(`r-${n}`, `uid-${n}`), 'Normal', 'R', 'A', 'Note.');
    // The first one left the buffer when its write began.
    expect(dropped).to.deep.equal(Array.from({ length: 9 }, () => 'buffer_full'));
    release?.();
    await recorder.flush();
    expect(events()).to.have.length(1001);
  });

  it('counts and notes at debug what cannot be written, and goes on', async () => {
    const { recorder, client, dropped, lines, events } = newRecorder();
    client.failure = new ApiError('forbidden', { status: 403, reason: 'Forbidden' });
    recorder.record(registration(), 'Normal', 'R', 'A', 'Note.');
    await recorder.flush();
    expect(dropped).to.deep.equal(['write_failed']);
    expect(lines).to.have.length(1);
    expect(lines[0]).to.deep.include({ level: 'debug', message: 'cannot write event' });
    expect(lines[0]?.fields).to.deep.include({ reason: 'R', namespace: 'gradebook', name: 'canvas' });
    client.failure = undefined;
    recorder.record(registration(), 'Normal', 'R', 'A', 'Note.');
    await recorder.flush();
    expect(events()[0]?.series?.count).to.equal(2);
  });

  it('survives a client that throws before it returns a promise', async () => {
    const { clock, dropped } = newRecorder();
    const metrics = { dropped: (why: string): void => void dropped.push(why) };
    const client = { create: throwClosed, replace: throwClosed };
    const recorder = new KubeEventRecorder({ client, clock, log: recordingLog().log, instance: 'p', metrics });
    recorder.record(registration(), 'Normal', 'R', 'A', 'Note.');
    recorder.record(registration('b', 'b'), 'Normal', 'R', 'A', 'Note.');
    await recorder.flush();
    expect(dropped).to.deep.equal(['write_failed', 'write_failed']);
  });

  for (const [what, forget] of [
    ['the API server has forgotten', (client: FakeEvents) => client.stored.clear()],
    [
      'somebody else changed',
      (client: FakeEvents) => {
        for (const [name, event] of client.stored) {
          client.stored.set(name, { ...event, metadata: { ...event.metadata, resourceVersion: 'other' } });
        }
      },
    ],
  ] as const) {
    it(`writes a new event in place of one that ${what}`, async () => {
      const { recorder, client, events, dropped } = newRecorder();
      recorder.record(registration(), 'Normal', 'R', 'A', 'Note.');
      await recorder.flush();
      forget(client);
      recorder.record(registration(), 'Normal', 'R', 'A', 'Note.');
      await recorder.flush();
      expect(events().at(-1)?.series?.count).to.equal(2);
      expect(dropped).to.deep.equal([]);
    });
  }

  for (const [what, note, expected] of [
    ['of 1024 bytes as it is', 'x'.repeat(1024), 'x'.repeat(1024)],
    ['that is longer', 'x'.repeat(1025), `${'x'.repeat(1021)}…`],
    ['with longer characters at a whole one', 'é'.repeat(600), `${'é'.repeat(510)}…`],
  ] as const) {
    it(`writes a note ${what}`, async () => {
      const { recorder, events } = newRecorder();
      recorder.record(registration(), 'Normal', 'R', 'A', note);
      await recorder.flush();
      expect(events()[0]?.note).to.equal(expected);
      expect(Buffer.byteLength(expected)).to.be.at.most(1024);
    });
  }

  it('keeps the name of an event within 253 characters and a DNS name', async () => {
    const { recorder, events } = newRecorder();
    recorder.record(registration(`${'x'.repeat(235)}-.-yy${'z'.repeat(13)}`), 'Normal', 'R', 'A', 'Note.');
    await recorder.flush();
    expect(events()[0]?.metadata.name).to.match(/^x{235}\.[0-9a-f]+$/u);
  });

  it('gives up flushing after a while, leaving no timer behind when it need not', async () => {
    const { recorder, client, clock } = newRecorder();
    await recorder.flush();
    client.held = new Promise(() => undefined);
    recorder.record(registration(), 'Normal', 'R', 'A', 'Note.');
    let flushed = false;
    const flushing = recorder.flush(3000).then(() => (flushed = true));
    await clock.advance(2999);
    expect(flushed).to.equal(false);
    await clock.advance(1);
    await flushing;
    await settle();
    expect(clock.pendingTimers).to.equal(0);
  });
});
