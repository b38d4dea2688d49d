import { expect } from 'chai';
import {
  serviceReplicas,
  type EndpointSlice,
  withPublicURL,
} from '../../../../src/controller/publication/replica-targets.ts';
import { second } from '../../../../src/domain/duration.ts';
import { Store } from '../../../../src/kube/store.ts';
import { FakeClock, settle } from '../../../fakes/fake-clock.ts';

function slice(more: Partial<EndpointSlice>): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'lti-key-operator-jwks-1' },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints: [{ addresses: ['10.0.0.1'] }],
    ...more,
  };
}

describe('The replicas of the JWKS Service', () => {
  const cases: readonly (readonly [what: string, slices: readonly EndpointSlice[], urls: readonly string[]])[] = [
    ['are none without a slice', [], []],
    ['are requested at the port named http', [slice({})], ['http://10.0.0.1:8080']],
    [
      'are requested with TLS if a port is named https',
      [
        slice({
          ports: [
            { name: 'http', port: 8080 },
            { name: 'https', port: 8443 },
          ],
        }),
      ],
      ['https://10.0.0.1:8443'],
    ],
    ['are not requested at any other port', [slice({ ports: [{ name: 'admin', port: 8081 }] })], []],
    [
      'are requested at an IPv6 address',
      [slice({ addressType: 'IPv6', endpoints: [{ addresses: ['fd00::1'] }] })],
      ['http://[fd00::1]:8080'],
    ],
    [
      'do not include endpoints that are not ready',
      [slice({ endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: false } }, { addresses: ['10.0.0.2'] }] })],
      ['http://10.0.0.2:8080'],
    ],
    [
      'are each requested once, for any number of addresses and slices',
      [
        slice({ endpoints: [{ addresses: ['10.0.0.1'], targetRef: { uid: 'a' } }] }),
        slice({ addressType: 'IPv6', endpoints: [{ addresses: ['fd00::1'], targetRef: { uid: 'a' } }] }),
      ],
      ['http://10.0.0.1:8080'],
    ],
  ];
  for (const [what, slices, urls] of cases) {
    it(what, async () => {
      const watched = { list: () => slices, connected: () => true, onChange: () => undefined, onRead: () => undefined };
      const endpoints = serviceReplicas(watched, new FakeClock());
      expect(await endpoints.targets()).to.deep.equal(urls);
      expect(endpoints.count(), 'as the metric counts them').to.equal(urls.length);
      expect(serviceReplicas({ ...watched, connected: () => false }, new FakeClock()).count()).to.equal(undefined);
    });
  }

  describe('during a gap of their watch', () => {
    let clock: FakeClock;
    let connected: boolean;
    let targets: () => Promise<readonly string[] | undefined>;
    beforeEach(() => {
      clock = new FakeClock();
      connected = false;
      const watched = {
        list: () => [slice({})],
        connected: () => connected,
        onChange: () => undefined,
        onRead: () => undefined,
      };
      ({ targets } = serviceReplicas(watched, clock));
    });

    it('Replicas are unknown while their watch is not connected, even if they were listed before', async () => {
      const asking = targets();
      await clock.advance(2 * second);
      expect(await asking).to.equal(undefined);
    });

    it('All callers together wait once for a watch that is not connected', async () => {
      const asking = [targets(), targets()];
      await settle();
      expect(clock.pendingTimers).to.equal(1);
      await clock.advance(2 * second);
      expect(await Promise.all(asking)).to.deep.equal([undefined, undefined]);
      expect(await targets()).to.equal(undefined);
      expect(clock.pendingTimers).to.equal(0);
    });

    it('Replicas are known as soon as a renewed watch is connected', async () => {
      const asking = targets();
      await clock.advance(second);
      connected = true;
      await clock.advance(second / 10);
      expect(await asking).to.deep.equal(['http://10.0.0.1:8080']);
    });

    it('Replicas are known after an outage of their watch, and callers wait for its next gap', async () => {
      const asking = targets();
      await clock.advance(2 * second);
      expect(await asking).to.equal(undefined);
      connected = true;
      expect(await targets()).to.deep.equal(['http://10.0.0.1:8080']);
      connected = false;
      const again = targets();
      connected = true;
      await clock.advance(second / 10);
      expect(await again).to.deep.equal(['http://10.0.0.1:8080']);
    });
  });

  describe('as a set', () => {
    let clock: FakeClock;
    let store: Store<EndpointSlice>;
    let changes: number;
    let read = (): void => undefined;
    beforeEach(() => {
      clock = new FakeClock();
      changes = 0;
      store = new Store<EndpointSlice>();
      const slices = {
        list: () => store.list(),
        connected: () => true,
        onChange: store.onChange.bind(store),
        onRead: (handler: (namespace: undefined) => void) => void (read = () => handler(undefined)),
      };
      serviceReplicas(slices, clock).onChange(() => (changes += 1));
    });

    let version = 0;
    async function put(...addresses: readonly (readonly [address: string, ready: boolean])[]): Promise<void> {
      const endpoints = addresses.map(([address, ready]) => ({ addresses: [address], conditions: { ready } }));
      const metadata = { name: 'lti-key-operator-jwks-1', resourceVersion: `${++version}` };
      store.put(slice({ metadata, endpoints }));
      await settle();
    }

    it('The set of replicas reports a replica that is added, becomes unready or is removed, once each', async () => {
      for (const addresses of [
        [['10.0.0.1', true]],
        [
          ['10.0.0.1', true],
          ['10.0.0.2', true],
        ],
        [
          ['10.0.0.1', true],
          ['10.0.0.2', false],
        ],
        [],
      ] as const) {
        const before = changes;
        await put(...addresses);
        await clock.advance(second);
        expect(changes - before).to.equal(1);
      }
    });

    it('The set of replicas reports no change if a slice changes and the ready replicas stay the same', async () => {
      await put(['10.0.0.1', true], ['10.0.0.2', true]);
      await clock.advance(second);
      await put(['10.0.0.2', true], ['10.0.0.1', true], ['10.0.0.3', false]);
      await clock.advance(second);
      expect(changes).to.equal(1);
    });

    it('The set of replicas reports no change at the first list, and the first change after it', async () => {
      await put(['10.0.0.1', true]);
      read();
      await clock.advance(second);
      expect(changes).to.equal(0);
      store.replaceAll([]);
      await clock.advance(second);
      expect(changes).to.equal(1);
    });

    it('The set of replicas reports no change if a watch reconnects and the ready replicas are the same', async () => {
      await put(['10.0.0.1', true]);
      await clock.advance(second);
      const metadata = { name: 'lti-key-operator-jwks-1', resourceVersion: `${version}` };
      store.replaceAll([slice({ metadata, endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: true } }] })]);
      await clock.advance(second);
      expect(changes).to.equal(1);
    });

    it('The set of replicas reports several consecutive changes as one, and none if the last one restores the first state', async () => {
      await put(['10.0.0.1', true]);
      await put(['10.0.0.1', true], ['10.0.0.2', true]);
      expect(clock.pendingTimers).to.equal(1);
      await clock.advance(second);
      expect(changes).to.equal(1);
      await put(['10.0.0.1', true]);
      await put(['10.0.0.1', true], ['10.0.0.2', true]);
      await clock.advance(second);
      expect(changes).to.equal(1);
    });
  });

  it('Replicas are requested together with the public URL, unless there are none or they are unknown', async () => {
    const withPublic = (bases: readonly string[] | undefined): Promise<readonly string[] | undefined> =>
      withPublicURL(() => Promise.resolve(bases), 'https://keys.example.org')();
    expect(await withPublic(['http://a'])).to.deep.equal(['http://a', 'https://keys.example.org']);
    expect(await withPublic(['https://keys.example.org'])).to.deep.equal(['https://keys.example.org']);
    expect(await withPublic([])).to.deep.equal([]);
    expect(await withPublic(undefined)).to.equal(undefined);
  });
});
