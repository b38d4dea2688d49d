import { expect } from 'chai';

import { leases } from '../../src/api/names.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { isConflict } from '../../src/kube/errors.ts';
import { runAsLeader } from '../../src/kube/leader.ts';
import type { Lease } from '../../src/kube/lease.ts';
import { sleep, systemClock } from '../../src/lib/clock.ts';
import { recordingLog } from '../fakes/recording-log.ts';
import { controlPlane, createNamespace } from '../fixtures/control-plane.ts';

interface Candidate {
  readonly stop: () => void;
  readonly running: Promise<void>;
}

describe('runAsLeader on a real API server', () => {
  let client: KubeClient;
  before(() => (client = KubeClient.load({ kubeconfig: controlPlane().kubeconfig, clock: systemClock })));
  after(() => client.close());

  it('runAsLeader elects one of three candidates, and the next whenever the leader stops', async () => {
    const namespace = await createNamespace('leader');
    const { log, lines } = recordingLog();
    const leaders: string[] = [];
    let elected: (() => void) | undefined;
    const nextLeader = (): Promise<void> => new Promise((resolve) => (elected = resolve));
    const lease = (): Promise<Lease> => client.get<Lease>(leases, namespace, 'operator');

    const start = (identity: string): Candidate => {
      const stopping = new AbortController();
      const lead = async (signal: AbortSignal): Promise<void> => {
        leaders.push(identity);
        elected?.();
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      };
      const options = { client, namespace, name: 'operator', identity, clock: systemClock, log };
      return { stop: () => stopping.abort(), running: runAsLeader(options, lead, stopping.signal) };
    };

    let waiting = nextLeader();
    const candidates = new Map(['a', 'b', 'c'].map((identity) => [identity, start(identity)]));
    for (let term = 0; term < 3; term++) {
      await waiting;
      expect(leaders).to.have.length(term + 1);
      const leader = leaders.at(-1) ?? '';
      const { spec } = await lease();
      expect(spec).to.deep.include({ holderIdentity: leader, leaseDurationSeconds: 15, leaseTransitions: term });
      expect(spec?.renewTime).to.match(/T\d\d:\d\d:\d\d\.\d{6}Z$/u);
      waiting = nextLeader();
      candidates.get(leader)?.stop();
      await candidates.get(leader)?.running;
    }
    expect(new Set(leaders), 'each led once').to.have.property('size', 3);
    expect((await lease()).spec?.holderIdentity, 'released').to.satisfy((holder?: string) => !holder);
    expect(lines.filter(({ level }) => level === 'warn')).to.deep.equal([]);
  });

  it('runAsLeader renews its Lease, and loses it to a process that takes it', async () => {
    const namespace = await createNamespace('leader');
    const { log } = recordingLog();
    const stopping = new AbortController();
    let lost: (() => void) | undefined;
    const losing = new Promise<void>((resolve) => (lost = resolve));
    const options = { client, namespace, name: 'operator', identity: 'a', clock: systemClock, log };
    let taken: Promise<void> | undefined;
    const lead = async (signal: AbortSignal): Promise<void> => {
      taken = takeOver(namespace);
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      lost?.();
    };
    const running = runAsLeader(options, lead, stopping.signal);
    await losing;
    await taken;
    stopping.abort();
    await running;
    const { spec } = await client.get<Lease>(leases, namespace, 'operator');
    expect(spec?.holderIdentity).to.equal('thief');
  });

  /** Waits for a renewal and then writes another holder into the Lease. */
  async function takeOver(namespace: string): Promise<void> {
    const first = await client.get<Lease>(leases, namespace, 'operator');
    let current = first;
    while (current.metadata.resourceVersion === first.metadata.resourceVersion) {
      await sleep(systemClock, 100);
      current = await client.get<Lease>(leases, namespace, 'operator');
    }
    expect(current.spec?.renewTime).not.to.equal(first.spec?.renewTime);
    for (;;) {
      try {
        await client.replace<Lease>(leases, { ...current, spec: { ...current.spec, holderIdentity: 'thief' } });
        return;
      } catch (error) {
        // The next renewal came first.
        if (!isConflict(error)) throw error;
        current = await client.get<Lease>(leases, namespace, 'operator');
      }
    }
  }
});
