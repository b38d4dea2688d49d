import { expect } from 'chai';
import { KekWatch } from '../../../../src/controller/keks/kek-watch.ts';
import { KekError } from '../../../../src/crypto/errors.ts';
import type { KekProvider, KekStatus } from '../../../../src/crypto/kek-provider.ts';
import { second } from '../../../../src/domain/duration.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';
import { recordingLog } from '../../../fakes/recording-log.ts';

describe('KekWatch', () => {
  let clock: FakeClock;
  let recorded: ReturnType<typeof recordingLog>;
  let term: AbortController;
  let status: () => KekStatus;
  let changes: number;
  let watch: KekWatch;

  beforeEach(() => {
    clock = new FakeClock();
    recorded = recordingLog();
    term = new AbortController();
    changes = 0;
    status = () => ({ sealingKekID: 'k1', problems: [] });
    const keks = { status: async () => status() } as KekProvider;
    watch = new KekWatch({ keks, clock, log: recorded.log });
    watch.onChange(() => void (changes += 1));
    void watch.run(term.signal);
  });
  afterEach(() => term.abort());

  const logged = async (): Promise<string[]> => {
    recorded.lines.length = 0;
    await clock.advance(5 * second);
    return recorded.lines.map(({ level, message, fields }) => `${level} ${String(fields.reason)}: ${message}`);
  };
  const unverified = new KekError('KEKUnverified', 'the canary cannot be read');

  it('KekWatch reports the key that seals, and calls its handlers when that changes', async () => {
    await clock.advance(0);
    expect(watch.sealingKekID()).to.equal('k1');
    status = () => ({ sealingKekID: 'k2', problems: [] });
    await logged();
    expect([watch.sealingKekID(), changes]).to.deep.equal(['k2', 1]);
    await logged();
    expect(changes).to.equal(1);
  });

  it('KekWatch logs a canary that prevents sealing as an error, and any other missing canary as a warning', async () => {
    await clock.advance(0);
    status = () => ({ sealingKekID: undefined, problems: [unverified] });
    expect(await logged()).to.deep.equal(['error KEKUnverified: key-encryption key is not usable']);
    expect([watch.error(), watch.sealingKekID()]).to.deep.equal(['KEKUnverified', undefined]);
    status = () => ({ sealingKekID: 'k1', problems: [unverified] });
    expect((await logged())[0]).to.equal('warn KEKUnverified: canary of a key-encryption key is not in place');
    expect([watch.error(), watch.sealingKekID()]).to.deep.equal([undefined, 'k1']);
  });

  it('KekWatch continues after an unexpected error', async () => {
    await clock.advance(0);
    status = () => {
      throw new TypeError('unexpected');
    };
    expect((await logged())[0]).to.include('cannot check the key-encryption keys; retrying');
    status = () => ({ sealingKekID: 'k2', problems: [] });
    await logged();
    expect(watch.sealingKekID()).to.equal('k2');
  });
});
