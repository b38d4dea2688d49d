import { expect } from 'chai';

import { ApiError, TransportError } from '../../../src/kube/errors.ts';
import { EventRecorder, type KubeEvent } from '../../../src/kube/events.ts';
import type { KubeObject } from '../../../src/kube/objects.ts';
import { FakeClock, settle } from '../../fakes/fake-clock.ts';
import { recordingLog, type RecordedLine } from '../../fakes/recording-log.ts';

/** Stores events by name, as the API server does. */
class FakeEvents {
  readonly stored = new Map<string, KubeEvent>();
  failure: Error | undefined;
  /** While set, events are stored, and their answers lost. */
  losesAnswers = false;
  writes = 0;
  /** While set, writes wait for it. */
  held: Promise<void> | undefined;

  async create(_type: unknown, event: KubeEvent): Promise<KubeEvent> {
    await this.#fault();
    const { name } = event.metadata;
    if (this.stored.has(name)) throw new ApiError('taken', { status: 409, reason: 'AlreadyExists' });
    this.stored.set(name, event);
    if (this.losesAnswers) throw new TransportError('Connection', 'create events: the connection failed');
    return event;
  }

  async #fault(): Promise<void> {
    this.writes += 1;
    await this.held;
    if (this.failure !== undefined) throw this.failure;
  }
}

interface Bench {
  readonly clock: FakeClock;
  readonly client: FakeEvents;
  readonly dropped: string[];
  readonly lines: RecordedLine[];
  readonly recorder: EventRecorder;
  readonly events: () => KubeEvent[];
}

function newRecorder(): Bench {
  const clock = new FakeClock('2026-01-01T00:00:00.500Z');
  const client = new FakeEvents();
  const dropped: string[] = [];
  const { log, lines } = recordingLog();
  const metrics = { dropped: (why: string): void => void dropped.push(why) };
  const recorder = new EventRecorder({ client, clock, log, instance: 'pod-1', metrics });
  // as they are sent
  const events = (): KubeEvent[] => JSON.parse(JSON.stringify([...client.stored.values()])) as KubeEvent[];
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

describe('EventRecorder', () => {
  it('The recorder writes an event in the namespace of its object', async () => {
    const { recorder, events, client } = newRecorder();
    recorder.record(registration(), 'Normal', 'Rotated', 'Rotate', 'Key 2 signs.');
    expect(client.writes, 'record returns at once').to.be.lessThan(2);
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

  it('The recorder writes an event for each call, even with the same note', async () => {
    const { recorder, events } = newRecorder();
    for (let n = 0; n < 3; n++) recorder.record(registration(), 'Normal', 'R', 'A', 'Note.');
    await recorder.flush();
    expect(events()).to.have.length(3);
  });

  for (const [what, error] of [
    ['times out', new TransportError('Timeout', 'create events: no answer within 30 s')],
    ['is overloaded', new ApiError('create events: 429', { status: 429, reason: 'TooManyRequests' })],
    ['is unavailable', new ApiError('create events: 503', { status: 503, reason: 'ServiceUnavailable' })],
  ] as const) {
    it(`The recorder writes an event at the third attempt if the API server ${what} at first`, async () => {
      const { recorder, client, clock, dropped, events } = newRecorder();
      client.failure = error;
      recorder.record(registration(), 'Normal', 'R', 'A', 'Note.');
      await clock.advance(2_999);
      client.failure = undefined;
      await clock.advance(1);
      await recorder.flush();
      expect(client.writes).to.equal(3);
      expect(events()).to.have.length(1);
      expect(dropped).to.deep.equal([]);
    });

    it(`The recorder drops and counts an event if the API server ${what} three times, and writes the next one`, async () => {
      const { recorder, client, clock, dropped, events } = newRecorder();
      client.failure = error;
      recorder.record(registration(), 'Normal', 'R', 'A', 'Note.');
      await clock.advance(3_000);
      expect(dropped).to.deep.equal(['write_failed']);
      client.failure = undefined;
      recorder.record(registration(), 'Normal', 'R', 'A', 'Next.');
      await recorder.flush();
      expect(events().map(({ note }) => note)).to.deep.equal(['Next.']);
    });
  }

  it('The recorder writes an event once if the answer to the first attempt is lost', async () => {
    const { recorder, client, clock, dropped, events } = newRecorder();
    client.losesAnswers = true;
    recorder.record(registration(), 'Normal', 'R', 'A', 'Note.');
    await clock.advance(1_000);
    await recorder.flush();
    expect(events()).to.have.length(1);
    expect(client.writes).to.equal(2);
    expect(dropped).to.deep.equal([]);
  });

  it('The recorder keeps at most 1000 pending events, and counts those it drops', async () => {
    const { recorder, client, dropped, events } = newRecorder();
    let release: (() => void) | undefined;
    client.held = new Promise((resolve) => (release = resolve));
    for (let n = 0; n < 1010; n++) recorder.record(registration(`r-${n}`, `uid-${n}`), 'Normal', 'R', 'A', 'Note.');
    expect(dropped).to.deep.equal(Array.from({ length: 10 }, () => 'buffer_full'));
    release?.();
    await recorder.flush();
    expect(events()).to.have.length(1000);
  });

  it('The recorder does not retry a refused event; it counts it, logs it at debug, and writes the next one', async () => {
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
    expect(events()).to.have.length(1);
    expect(client.writes).to.equal(2);
  });

  it('The recorder continues after a client that throws synchronously', async () => {
    const { clock, dropped } = newRecorder();
    const metrics = { dropped: (why: string): void => void dropped.push(why) };
    const client = { create: throwClosed };
    const recorder = new EventRecorder({ client, clock, log: recordingLog().log, instance: 'p', metrics });
    recorder.record(registration(), 'Normal', 'R', 'A', 'Note.');
    recorder.record(registration('b', 'b'), 'Normal', 'R', 'A', 'Note.');
    await clock.advance(6_000);
    expect(dropped).to.deep.equal(['write_failed', 'write_failed']);
  });

  for (const [what, note, expected] of [
    ['of 1024 bytes unchanged', 'x'.repeat(1024), 'x'.repeat(1024)],
    ['of more than 1024 bytes, cut', 'x'.repeat(1025), `${'x'.repeat(1021)}…`],
    ['of multi-byte characters, cut between two', 'é'.repeat(600), `${'é'.repeat(510)}…`],
  ] as const) {
    it(`The recorder writes a note ${what}`, async () => {
      const { recorder, events } = newRecorder();
      recorder.record(registration(), 'Normal', 'R', 'A', note);
      await recorder.flush();
      expect(events()[0]?.note).to.equal(expected);
      expect(Buffer.byteLength(expected)).to.be.at.most(1024);
    });
  }

  it('flush resolves after its limit, and leaves no timer', async () => {
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
