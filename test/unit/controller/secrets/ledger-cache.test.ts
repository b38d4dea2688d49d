import { expect } from 'chai';
import type { LedgerRecord } from '../../../../src/controller/secrets/ledger-secret.ts';
import { LedgerCache } from '../../../../src/controller/secrets/ledger-cache.ts';
import { minute, second } from '../../../../src/domain/duration.ts';
import { aLedger } from '../../../builders/ledger.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';

const record: LedgerRecord = {
  ledger: aLedger([]),
  secret: { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'canvas-lti-keys' } },
};

describe('LedgerCache', () => {
  let clock: FakeClock;
  let ledgers: LedgerCache;

  beforeEach(() => {
    clock = new FakeClock();
    ledgers = new LedgerCache(clock);
  });

  it('LedgerCache returns a ledger for 15 seconds after it was written', async () => {
    ledgers.set('bank/canvas', record);
    await clock.advance(14 * second);
    expect(ledgers.get('bank/canvas')).to.equal(record);
    await clock.advance(second);
    expect(ledgers.get('bank/canvas')).to.equal(undefined);
  });

  it('LedgerCache reports a missing ledger for 10 minutes, or until it is written', async () => {
    for (const key of ['bank/canvas', 'bank/moodle']) ledgers.setMissing(key);
    ledgers.set('bank/canvas', record);
    expect(ledgers.isMissing('bank/canvas')).to.equal(false);
    await clock.advance(10 * minute - second);
    expect(ledgers.isMissing('bank/moodle')).to.equal(true);
    await clock.advance(second);
    expect(ledgers.isMissing('bank/moodle')).to.equal(false);
  });

  it('LedgerCache deletes both entries of a registration', () => {
    ledgers.setMissing('bank/canvas');
    ledgers.set('bank/moodle', record);
    for (const key of ['bank/canvas', 'bank/moodle']) ledgers.delete(key);
    expect(ledgers.isMissing('bank/canvas')).to.equal(false);
    expect(ledgers.get('bank/moodle')).to.equal(undefined);
  });

  it('LedgerCache keeps no ledger longer because an older one was written again', async () => {
    ledgers.set('bank/canvas', record);
    await clock.advance(9 * second);
    ledgers.set('bank/moodle', record);
    ledgers.set('bank/canvas', record);
    await clock.advance(9 * second);
    expect(ledgers.get('bank/canvas')).to.equal(record);
    await clock.advance(6 * second);
    expect(ledgers.get('bank/canvas')).to.equal(undefined);
    expect(ledgers.get('bank/moodle')).to.equal(undefined);
  });
});
