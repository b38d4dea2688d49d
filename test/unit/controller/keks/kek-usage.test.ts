import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import { KekUsage } from '../../../../src/controller/keks/kek-usage.ts';
import { second } from '../../../../src/domain/duration.ts';
import type { ObjectKey } from '../../../../src/kube/objects.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';
import { recordingLog } from '../../../fakes/recording-log.ts';

describe('KekUsage', () => {
  const [canvas, moodle] = ['gradebook/canvas', 'gradebook/moodle'];
  let known: Set<ObjectKey>;
  let synced: boolean;
  let sealing: string | undefined;
  let named: string[];
  let clock: FakeClock;
  let term: AbortController;
  let recorded: ReturnType<typeof recordingLog>;
  let usage: KekUsage;

  beforeEach(() => {
    known = new Set([canvas, moodle]);
    synced = true;
    sealing = 'k1';
    named = ['k0', 'k1'];
    clock = new FakeClock();
    recorded = recordingLog();
    usage = new KekUsage({
      known: () => (synced ? known : undefined),
      sealingKekID: () => sealing,
      canaryIDs: () => named,
      log: recorded.log,
    });
    lead();
  });
  afterEach(() => term.abort());

  function lead(): void {
    term = new AbortController();
    void usage.run(clock, term.signal);
  }
  const report = (): { complete: boolean; counts: Record<string, number> } => {
    const { complete, counts } = usage.report()!;
    return { complete, counts: Object.fromEntries(counts) };
  };
  const unused = async (): Promise<unknown[]> => {
    await clock.advance(5 * second);
    return recorded.lines.map(({ fields }) => fields.kekID);
  };
  function readBoth(first: readonly string[], second_: readonly string[]): void {
    usage.read(canvas, first);
    usage.read(moodle, second_);
  }

  it('KekUsage counts the ledgers that were read, and reports 0 only after all were read', () => {
    expect(report()).to.deep.equal({ complete: false, counts: {} });
    usage.read(canvas, ['k1', 'k1']);
    expect(report()).to.deep.equal({ complete: false, counts: { k1: 2 } });
    usage.read(moodle, ['k1']);
    expect(report()).to.deep.equal({ complete: true, counts: { k1: 3, k0: 0 } });
  });

  it('KekUsage never reports 0 for the key that seals', () => {
    readBoth([], []);
    expect(report()).to.deep.equal({ complete: true, counts: { k0: 0 } });
  });

  it('KekUsage logs once that a key is no longer in use, after every ledger was read again', async () => {
    readBoth(['k1'], ['k1']);
    expect(await unused()).to.deep.equal([]);
    sealing = 'k2';
    usage.read(canvas, ['k2']);
    expect(report()).to.deep.equal({ complete: false, counts: { k1: 1, k2: 1 } });
    usage.read(moodle, ['k2']);
    expect(await unused()).to.deep.equal(['k1']);
    expect(recorded.lines[0]?.message).to.equal(
      'no ledger that was read has a private key sealed under this key-encryption key',
    );
    expect(await unused(), 'once').to.deep.equal(['k1']);
    expect(report()).to.deep.equal({ complete: true, counts: { k2: 2, k0: 0, k1: 0 } });
    readBoth(['k2', 'k1'], ['k2']);
    expect(await unused()).to.deep.equal(['k1']);
    readBoth(['k2'], ['k2']);
    expect(await unused(), 'again, after it was in use again').to.deep.equal(['k1', 'k1']);
  });

  it('KekUsage ignores readings from before the sealing key changed, because a pass in flight may have sealed since', () => {
    readBoth([], ['k1']);
    sealing = 'k2';
    usage.read(moodle, ['k2']);
    expect(report(), 'canvas may have its first key under k1 by now').to.deep.equal({
      complete: false,
      counts: { k2: 1 },
    });
    usage.read(canvas, ['k1']);
    expect(report().counts).to.include({ k1: 1 });
  });

  const doubts: readonly { what: string; arise: () => void; counts?: Record<string, number> }[] = [
    { what: 'a ledger that turned faulty, whose keys stay counted', arise: () => usage.unreadable(canvas) },
    { what: 'a registration whose ledger was never read', arise: () => void known.add('gradebook/sakai') },
    {
      what: 'an unreadable ledger of a registration that no cache has',
      arise: () => usage.unreadable('gradebook/gone'),
    },
    { what: 'caches that are not synced', arise: () => void (synced = false) },
  ];
  for (const { what, arise } of doubts) {
    it(`KekUsage calls no key unused because of ${what}`, async () => {
      readBoth(['k1'], ['k1']);
      await clock.advance(5 * second);
      sealing = 'k2';
      readBoth(['k1'], ['k2']);
      arise();
      expect(report()).to.deep.equal({ complete: false, counts: { k1: 1, k2: 1 } });
      if (what.startsWith('a ledger')) usage.read(moodle, ['k2']);
      else usage.read(canvas, ['k2']);
      expect(report().complete).to.equal(false);
      expect(report().counts).to.not.have.property('k0');
      expect(await unused()).to.deep.equal([]);
    });
  }

  it('KekUsage concludes nothing from empty lists, as after a new installation of the CRDs', async () => {
    readBoth(['k1'], ['k1']);
    await clock.advance(5 * second);
    sealing = 'k2';
    known.clear();
    expect(report()).to.deep.equal({ complete: false, counts: { k1: 2 } });
    term.abort();
    lead();
    expect(report()).to.deep.equal({ complete: false, counts: {} });
    expect(await unused()).to.deep.equal([]);
  });

  it('KekUsage counts a ledger again once it is readable, and no longer once its registration is gone', () => {
    readBoth(['k1', 'k0'], ['k1']);
    usage.unreadable(canvas);
    expect(report()).to.deep.equal({ complete: false, counts: { k1: 2, k0: 1 } });
    usage.read(canvas, ['k1']);
    expect(report()).to.deep.equal({ complete: true, counts: { k1: 2, k0: 0 } });
    known.delete(canvas);
    usage.forget(canvas);
    expect(report()).to.deep.equal({ complete: true, counts: { k1: 1, k0: 0 } });
    usage.read(moodle, []);
    expect(report(), 'there, and has no ledger').to.deep.equal({ complete: true, counts: { k0: 0 } });
  });

  it('KekUsage reports nothing without leadership, and begins each term with nothing read', () => {
    readBoth(['k1'], ['k1']);
    term.abort();
    expect(usage.report()).to.equal(undefined);
    usage.read(canvas, ['k1']);
    lead();
    expect(report()).to.deep.equal({ complete: false, counts: {} });
  });

  it('KekUsage is incomplete before the sealing key is known', () => {
    term.abort();
    sealing = undefined;
    lead();
    readBoth(['k1'], ['k1']);
    expect(report()).to.deep.equal({ complete: false, counts: { k1: 2 } });
  });

  it('KekUsage reports a bounded number of KEK IDs, because a ledger may contain any name', () => {
    readBoth(
      Array.from({ length: 5000 }, (_, index) => `made-up-${index}`),
      ['k0'],
    );
    const { counts } = usage.report()!;
    expect(counts.size).to.be.at.most(102);
    expect(counts.get('k0')).to.equal(1);
  });

  it('KekUsage takes less than 250 bytes for each of 10,000 registrations', () => {
    const keys = Array.from({ length: 10_000 }, (_, index) => `namespace-${index % 100}/registration-${index}`);
    known = new Set(keys);
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    collect();
    const before = process.memoryUsage().heapUsed;
    for (const key of keys) usage.read(key, ['k1', 'k1']);
    collect();
    const each = (process.memoryUsage().heapUsed - before) / keys.length;
    expect(report()).to.deep.equal({ complete: true, counts: { k1: 20_000, k0: 0 } });
    expect(each).to.be.below(250);
  });
});
