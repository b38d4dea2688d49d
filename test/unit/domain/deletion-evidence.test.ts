import { expect } from 'chai';
import { deletionDoubt } from '../../../src/domain/deletion-evidence.ts';
import { day, second } from '../../../src/domain/duration.ts';
import type { DefinitionReading, Gone } from '../../../src/domain/situation.ts';
import { aKey, aLedger, epoch } from '../../builders/ledger.ts';

/** Whether a registration that no longer exists was deleted by a user. */

const created = (createdAt: number, isTerminating = false): DefinitionReading => ({
  kind: 'present',
  createdAt,
  isTerminating,
});
/** Created, published and activated at `epoch`. */
const active = aKey(1, 'Active');

describe('The deletion of a registration', () => {
  const cases: readonly {
    title: string;
    gone: Omit<Gone, 'kind'>;
    key?: Partial<typeof active>;
    /** Of the message; `undefined` if a user deleted the registration. */
    says: RegExp | undefined;
  }[] = [
    {
      title: 'is confirmed by the object that was seen last, if it is as old as the definition',
      gone: { definition: created(epoch + day), lastCreatedAt: epoch + day },
      says: undefined,
    },
    {
      title: 'is in doubt if the object that was seen last is older than the definition, whatever the ledger has',
      gone: { definition: created(epoch), lastCreatedAt: epoch - second },
      key: { activatedAt: epoch + day },
      says: /was created at 2026-03-01T00:00:00Z, and the registration is not known to have existed since\. Apply the registration again/,
    },
    {
      title: 'is confirmed by a key that was created after the definition',
      gone: { definition: created(epoch - 5 * second) },
      says: undefined,
    },
    {
      title: 'is in doubt if the newest key is no older than the accuracy of the clocks',
      gone: { definition: created(epoch - 5 * second + 1) },
      says: /is not known to have existed since/,
    },
    {
      title: 'is confirmed by a key that was published after the definition was installed again',
      gone: { definition: created(epoch + day) },
      key: { publishedAt: epoch + 2 * day },
      says: undefined,
    },
    {
      title: 'is confirmed by a key that was activated after the definition was installed again',
      gone: { definition: created(epoch + day) },
      key: { activatedAt: epoch + 2 * day },
      says: undefined,
    },
    {
      title: 'is in doubt if the ledger shows only what is to come',
      gone: { definition: created(epoch + day) },
      key: { retireAt: epoch + 2 * day },
      says: /is not known to have existed since/,
    },
    {
      title: 'is in doubt while the definition is being deleted',
      gone: { definition: created(epoch - day, true), lastCreatedAt: epoch },
      says: /ltiregistrations\.ltikeys\.dev is being deleted, which deletes every registration\. Apply the registration again/,
    },
    {
      title: 'is in doubt without a definition',
      gone: { definition: { kind: 'absent' }, lastCreatedAt: epoch },
      says: /does not exist, and its deletion deleted every registration\. Apply the registration again/,
    },
    {
      title: 'is in doubt if the definition cannot be read',
      gone: { definition: { kind: 'unreadable', because: '403 Forbidden: no' }, lastCreatedAt: epoch },
      says: /cannot read CustomResourceDefinition .*: 403 Forbidden: no\. .*apply deploy\/rbac\.yaml/,
    },
    { title: 'is in doubt if the definition was not read', gone: { lastCreatedAt: epoch }, says: /was not read/ },
  ];
  for (const { title, gone, key, says } of cases) {
    it(title, () => {
      const fault = deletionDoubt({ kind: 'gone', ...gone }, aLedger([{ ...active, ...key }]));
      if (!says) return expect(fault).to.equal(undefined);
      expect(fault?.reason).to.equal('DeletionUnconfirmed');
      expect(fault?.message).to.match(/^registration canvas does not exist and had deletionPolicy Delete/);
      return expect(fault?.message).to.match(says);
    });
  }
});
