import { rm } from 'node:fs/promises';
import { expect } from 'chai';
import { ltiKeys, secrets } from '../../src/api/names.ts';
import type { LtiKey } from '../../src/api/objects.ts';
import { day, hour, minute } from '../../src/domain/duration.ts';
import type { ResourceType, Secret } from '../../src/kube/objects.ts';
import { sleep, systemClock } from '../../src/lib/clock.ts';
import { TravelClock } from '../fakes/travel-clock.ts';
import type { BeforeWrite } from '../fixtures/observed-client.ts';
import { makeKekDirectory, startOperator, until, type Operator } from '../fixtures/operator.ts';
import { eventually, Tenant, text, type LedgerContent } from '../fixtures/tenant.ts';

/** Numbers in [0, 1) that are the same in every run (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('Two operators at once without a lease', () => {
  let tenant: Tenant;
  let kekDir: string;
  let clock: TravelClock;
  let stopWatching: AbortController;
  let watching: Promise<void>[];
  /** Every version of every ledger and delivery Secret, in the order in which they were written. */
  let ledgers: LedgerContent[];
  let delivered: string[];
  const names = ['canvas', 'moodle'] as const;

  before(async () => (kekDir = await makeKekDirectory()));
  after(() => rm(kekDir, { recursive: true }));

  beforeEach(async () => {
    tenant = await Tenant.inNewNamespace('races');
    clock = new TravelClock();
    ledgers = [];
    delivered = [];
    stopWatching = new AbortController();
    states = {};
    watching = [
      follow(secrets, (secret: Secret) => {
        if (secret.metadata.name === 'canvas-lti-keys') ledgers.push(ledgerOf(secret));
        if (secret.metadata.name === 'canvas-signing-key') delivered.push(text(secret, 'kid'));
      }),
      follow(ltiKeys, ({ metadata, status }: LtiKey) => {
        states[metadata.name] = status?.state ?? '-';
      }),
    ];
  });

  afterEach(async () => {
    stopWatching.abort();
    await Promise.all(watching);
    await tenant.leave();
  });

  let states: Record<string, string>;

  async function follow(type: ResourceType, seen: (object: Secret & LtiKey) => void): Promise<void> {
    const { metadata } = await tenant.client.list(type, { namespace: tenant.namespace });
    const from = { namespace: tenant.namespace, resourceVersion: metadata.resourceVersion, timeoutSeconds: 600 };
    try {
      for await (const event of await tenant.client.watch<Secret & LtiKey>(type, from, stopWatching.signal)) {
        if (event.type === 'ADDED' || event.type === 'MODIFIED') seen(event.object);
      }
    } catch (error) {
      if (!stopWatching.signal.aborted) throw error;
    }
  }

  function ledgerOf(secret: Secret): LedgerContent {
    const ledger: LedgerContent = JSON.parse(text(secret, 'ledger.json'));
    return ledger;
  }

  const start = (beforeWrite?: BeforeWrite, others: () => readonly string[] = () => []): Promise<Operator> =>
    startOperator({
      namespaces: [tenant.namespace],
      kekDir,
      clock,
      targets: (own) => [own, ...others()],
      ...(beforeWrite && { beforeWrite }),
    });

  /** Of the whole history of canvas: one more key per rotation, never two that sign, serials without gaps. */
  function expectSoundHistory(rotations: number): void {
    expect(ledgers.map(({ serial }) => serial)).to.deep.equal(ledgers.map((_, index) => index + 1));
    for (const ledger of ledgers) {
      const active = ledger.keys.filter(({ state }) => state === 'Active');
      expect(active, `Active at serial ${ledger.serial}`).to.have.length(ledger.activeKeyID === undefined ? 0 : 1);
      expect(ledger.keys.filter(({ state }) => state === 'Next').length).to.be.below(2);
      // Only before the first key signs is there none that does.
      if (ledger.activeKeyID === undefined) expect(ledger.highestRevision).to.equal(1);
    }
    expect(ledgers.at(-1)?.highestRevision, 'keys made').to.equal(rotations + 1);
    const activeInOrder = ledgers.flatMap(({ activeKeyID }) => activeKeyID ?? []);
    const changes = (list: readonly string[]): string[] => list.filter((each, index) => each !== list[index - 1]);
    expect(changes(activeInOrder), 'signing keys in the ledger').to.have.length(rotations + 1);
    expect(changes(delivered), 'signing keys delivered').to.deep.equal(changes(activeInOrder));
  }

  it('Two operators without a lease rotate once per period, and deliver the key that signs', async () => {
    const operators: Operator[] = [];
    const others = (): readonly string[] => operators.map(({ url }) => url);
    operators.push(await start(undefined, others));
    operators.push(await start(undefined, others));
    await Promise.all(names.map((name) => tenant.apply(name)));
    const inStep = async (): Promise<void> => {
      for (const name of names) for (const { url } of operators) await tenant.untilInStep(url, name);
    };
    const travel = async (duration: number): Promise<void> => {
      for (const operator of operators) await operator.rest();
      clock.jump(duration);
      for (const operator of operators) await operator.rest();
    };
    await inStep();
    for (let rotation = 1; rotation <= 3; rotation++) {
      await travel(90 * day);
      await until(async () => (await tenant.states('canvas')).includes(`canvas-${rotation + 1} Next`), 'the next key');
      await inStep();
      await travel(25 * hour);
      await until(async () => (await tenant.states('canvas')).includes(`canvas-${rotation + 1} Active`), 'its turn');
      await inStep();
      await travel(49 * hour);
      await until(async () => !(await tenant.states('canvas')).includes('Retiring'), 'the end of the old one');
      await inStep();
    }
    // The watches of this test follow a moment later.
    await eventually(async () => expectSoundHistory(3));
    await eventually(async () => {
      for (const [name, shown] of Object.entries(states)) {
        if (name.startsWith('canvas-')) expect(shown, name).to.equal((await tenant.key(name)).status?.state);
      }
    });
    await Promise.all(operators.map((operator) => operator.stop()));
  });

  for (const seed of [1, 2, 3]) {
    it(`Two operators that crash at random writes lose nothing and do nothing twice (seed ${seed})`, async () => {
      const random = seeded(seed);
      /** A process that ends before its n-th write from now on, and all later ones. */
      const mortal = async (): Promise<{ operator: Operator; dead: () => boolean }> => {
        let left = 1 + Math.floor(random() * 12);
        const operator = await start((_verb, type) => {
          if (type.plural === 'events') return;
          left -= 1;
          if (left < 0) throw new Error('this process is gone');
        });
        return { operator, dead: () => left < 0 };
      };
      const pair = [await mortal(), await mortal()];
      const rotate = async (rotation: number, goal: string): Promise<void> => {
        const deadline = Date.now() + 120_000;
        while (!(await tenant.states('canvas')).includes(`canvas-${rotation + 1} ${goal}`)) {
          if (Date.now() > deadline)
            throw new Error(`no ${goal} in rotation ${rotation}: ${await tenant.states('canvas')}`);
          for (const [index, { operator, dead }] of pair.entries()) {
            if (!dead()) continue;
            await operator.stop();
            pair[index] = await mortal();
          }
          clock.jump(hour);
          await sleep(systemClock, 50 + random() * 100);
        }
      };
      await tenant.apply('canvas', { overlap: '20d' });
      await rotate(0, 'Active');
      for (let rotation = 1; rotation <= 2; rotation++) {
        clock.jump(90 * day);
        await rotate(rotation, 'Next');
        clock.jump(25 * hour);
        await rotate(rotation, 'Active');
      }
      await Promise.all(pair.map(({ operator }) => operator.stop()));
      const survivor = await start();
      await survivor.travel(34 * minute);
      await tenant.untilInStep(survivor.url, 'canvas');
      await survivor.stop();
      await eventually(async () => expectSoundHistory(2));
    });
  }
});
