import { expect } from 'chai';
import { summarize } from '../../../src/cli/summary.ts';
import type { LtiRegistration } from '../../../src/api/objects.ts';

const condition = (type: string, status: 'True' | 'False', reason: string, message = '') => ({
  type,
  status,
  reason,
  message,
  lastTransitionTime: '2026-11-27T00:00:00Z',
});

function registration(status?: LtiRegistration['status']): LtiRegistration {
  return {
    apiVersion: 'ltikeys.dev/v1alpha1',
    kind: 'LtiRegistration',
    metadata: { name: 'canvas', namespace: 'gradebook' },
    // oxlint-disable-next-line no-unsafe-type-assertion -- the summary reads no spec
    spec: {} as LtiRegistration['spec'],
    ...(status ? { status } : {}),
  };
}

describe('The summary of a registration', () => {
  it('The summary of a registration says Pending for a registration that the operator has not seen', () => {
    expect(summarize(registration())).to.deep.equal({
      namespace: 'gradebook',
      name: 'canvas',
      phase: 'Pending',
      problems: [],
    });
  });

  it('The summary of a registration has no problem while every condition is as it should be', () => {
    const conditions = [
      condition('Ready', 'True', 'SigningKeyReady'),
      condition('Stalled', 'False', 'NotStalled'),
      condition('Reconciling', 'True', 'WaitingForActivation'),
    ];
    expect(summarize(registration({ phase: 'Ready', conditions })).problems).to.deep.equal([]);
  });

  it('The summary of a registration names a cause that several conditions share once, with its remedy as plain text', () => {
    const conditions = [
      condition('Ready', 'False', 'LedgerMissing', 'the ledger is gone'),
      condition('Stalled', 'True', 'LedgerMissing', 'the ledger is gone'),
    ];
    expect(summarize(registration({ phase: 'Stalled', conditions })).problems).to.deep.equal([
      {
        condition: 'Ready',
        reason: 'LedgerMissing',
        message: 'the ledger is gone',
        remedy: 'Restore the ledger Secret: see docs/recovery.md#the-ledger-is-lost.',
      },
    ]);
  });
});
