import { expect } from 'chai';
import type { LedgerRecord } from '../../../../src/controller/secrets/ledger-secret.ts';
import { RecentLedgers } from '../../../../src/controller/secrets/recent-ledgers.ts';
import { minute, second } from '../../../../src/domain/duration.ts';
import { aLedger } from '../../../builders/ledger.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';

const record: LedgerRecord = {
  ledger: aLedger([]),
  secret: { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'canvas-lti-keys' } },
};

describe('Recent ledgers', () => {
  let clock: FakeClock;
  let recent: RecentLedgers;

  beforeEach(() => {
    clock = new FakeClock();
    recent = new RecentLedgers(clock);
  });

  it('know what was written for 5 seconds', async () => {
    recent.wrote('bank/canvas', record);
    await clock.advance(4 * second);
    expect(recent.written('bank/canvas')).to.equal(record);
    await clock.advance(second);
    expect(recent.written('bank/canvas')).to.equal(undefined);
  });

  it('know what was missing for 10 minutes, or until it was written', async () => {
    for (const key of ['bank/canvas', 'bank/moodle']) recent.foundMissing(key);
    recent.wrote('bank/canvas', record);
    expect(recent.isMissing('bank/canvas')).to.equal(false);
    await clock.advance(10 * minute - second);
    expect(recent.isMissing('bank/moodle')).to.equal(true);
    await clock.advance(second);
    expect(recent.isMissing('bank/moodle')).to.equal(false);
  });

  it('forget both', () => {
    recent.foundMissing('bank/canvas');
    recent.wrote('bank/moodle', record);
    for (const key of ['bank/canvas', 'bank/moodle']) recent.forget(key);
    expect(recent.isMissing('bank/canvas')).to.equal(false);
    expect(recent.written('bank/moodle')).to.equal(undefined);
  });

  it('do not keep a ledger longer because an older one was written again', async () => {
    recent.wrote('bank/canvas', record);
    await clock.advance(3 * second);
    recent.wrote('bank/moodle', record);
    recent.wrote('bank/canvas', record);
    await clock.advance(3 * second);
    expect(recent.written('bank/canvas')).to.equal(record);
    await clock.advance(2 * second);
    expect(recent.written('bank/canvas')).to.equal(undefined);
    expect(recent.written('bank/moodle')).to.equal(undefined);
  });
});
