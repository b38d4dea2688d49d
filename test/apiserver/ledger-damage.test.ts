import { expect } from 'chai';
import { ledgerEntry, ledgerSecretName, secrets } from '../../src/api/names.ts';
import { hour, minute } from '../../src/domain/duration.ts';
import type { Secret } from '../../src/kube/objects.ts';
import { eventsOf } from '../fixtures/refused-requests.ts';
import { startOperator, type Operator } from '../fixtures/operator.ts';
import { base64, eventually, Tenant } from '../fixtures/tenant.ts';

type Data = Readonly<Record<string, string>>;

/** Damage to the ledger of canvas, the reason that the operator reports, and what its message has to name. */
interface Damage {
  readonly title: string;
  readonly reason: string;
  readonly message: RegExp;
  /** Changes the ledger; `active` is the key ID that signs, `older` an earlier copy of the whole Secret. */
  readonly damage: (context: { secret: Secret; active: string; older: Secret }) => Promise<void>;
}

describe('Damaged ledgers', () => {
  let tenant: Tenant;
  let operator: Operator;

  before(async () => {
    tenant = await Tenant.inNewNamespace('damage');
    operator = await startOperator({ namespaces: [tenant.namespace] });
  });

  after(async () => {
    await operator.stop();
    await tenant.leave();
  });

  const name = ledgerSecretName('canvas');
  const ledgerOf = (data: Data): string => Buffer.from(data[ledgerEntry] ?? '', 'base64').toString();
  const edit = (change: (data: Data) => Record<string, string>) => async (): Promise<void> => {
    await tenant.replaceSecret(name, change);
  };
  const editJwe = (change: (jwe: string) => string): Damage['damage'] => {
    return async ({ active }) => {
      await tenant.replaceSecret(name, (data) => {
        const jwe = Buffer.from(data[`${active}.jwe`] ?? '', 'base64').toString();
        return { ...data, [`${active}.jwe`]: base64(change(jwe)) };
      });
    };
  };

  const damages: readonly Damage[] = [
    {
      title: 'deleted',
      reason: 'LedgerMissing',
      message:
        /canvas-lti-keys does not exist, .* Restore the Secret from a backup: the operator never replaces lost keys/,
      damage: () => tenant.remove(secrets, name),
    },
    {
      title: 'emptied',
      reason: 'LedgerCorrupt',
      message:
        /canvas-lti-keys: the entry ledger\.json is missing; the operator changes nothing until the Secret is restored/,
      damage: edit(() => ({})),
    },
    {
      title: 'truncated',
      reason: 'LedgerCorrupt',
      message: /ledger\.json is not JSON; it may have been truncated/,
      damage: edit((data) => ({ ...data, [ledgerEntry]: base64(ledgerOf(data).slice(0, 200)) })),
    },
    {
      title: 'swapped with that of another registration',
      reason: 'LedgerMismatch',
      message: /ledger\.json belongs to registration damage-[^/]+\/moodle/,
      damage: async () => {
        const other = await tenant.ledgerSecret('moodle');
        await tenant.replaceSecret(name, () => ({ ...other.data }));
      },
    },
    {
      title: 'given the sealed key of another registration',
      reason: 'SealContextMismatch',
      message: /canvas/,
      damage: async ({ active }) => {
        const other = await tenant.ledgerSecret('moodle');
        const [, foreign = ''] = Object.entries(other.data ?? {}).find(([entry]) => entry.endsWith('.jwe')) ?? [];
        await tenant.replaceSecret(name, (data) => ({ ...data, [`${active}.jwe`]: foreign }));
      },
    },
    {
      title: 'sealed under a KEK that is not known',
      reason: 'SealKEKMissing',
      message: /other-kek/,
      damage: editJwe((jwe) => {
        const sealed: { protected: string } = JSON.parse(jwe);
        const header = Buffer.from(sealed.protected, 'base64url').toString();
        return JSON.stringify({
          ...sealed,
          protected: Buffer.from(header.replace('"k1"', '"other-kek"')).toString('base64url'),
        });
      }),
    },
    {
      title: 'without one sealed key',
      reason: 'SealedKeyMissing',
      message: /canvas-lti-keys has no sealed private key for [\w-]{43}; restore it from a backup/,
      damage: async ({ active }) => {
        await tenant.replaceSecret(name, (data) =>
          Object.fromEntries(Object.entries(data).filter(([entry]) => entry !== `${active}.jwe`)),
        );
      },
    },
    {
      title: 'with one bit of a sealed key flipped',
      reason: 'SealTampered',
      message: /canvas/,
      damage: editJwe((jwe) => {
        const sealed: { ciphertext: string } = JSON.parse(jwe);
        const bytes = Buffer.from(sealed.ciphertext, 'base64url');
        bytes[100]! ^= 1;
        return JSON.stringify({ ...sealed, ciphertext: bytes.toString('base64url') });
      }),
    },
    {
      title: 'with a sealed key cut off',
      reason: 'SealMalformed',
      message: /canvas/,
      damage: editJwe((jwe) => jwe.slice(0, 300)),
    },
    {
      title: 'replaced by an older copy',
      reason: 'LedgerRolledBack',
      message:
        /has serial \d+, but the operator already acted on serial \d+: an older copy was restored over it\. Restore the newest copy/,
      damage: async ({ older }) => {
        await tenant.replaceSecret(name, () => ({ ...older.data }));
      },
    },
    {
      title: 'of a format version of a newer release',
      reason: 'LedgerFormatUnknown',
      message: /format version 7, but this release reads 1 and 2: a newer release of the operator wrote it/,
      damage: edit((data) => ({
        ...data,
        [ledgerEntry]: base64(ledgerOf(data).replace('"formatVersion": 2', '"formatVersion": 7')),
      })),
    },
    {
      title: 'with two Active keys',
      reason: 'LedgerCorrupt',
      message: /more than one Active key/,
      damage: edit((data) => ({ ...data, [ledgerEntry]: base64(ledgerOf(data).replaceAll('"Retiring"', '"Active"')) })),
    },
    {
      title: 'replaced by a Secret of another type',
      reason: 'LedgerSecretConflict',
      message: /it has the name of a ledger but its type is not ltikeys\.dev\/ledger; rename or delete it/,
      damage: async ({ secret }) => {
        await tenant.restore({ ...secret, type: 'Opaque' });
      },
    },
  ];

  let older: Secret;
  let intact: Secret;

  before(async () => {
    await tenant.apply('moodle');
    await tenant.apply('canvas', { rotationTrigger: 'a', overlap: '20d', rotateAfter: '180d' });
    await tenant.untilInStep(operator.url, 'canvas');
    older = await tenant.ledgerSecret('canvas');
    await tenant.edit('canvas', { rotationTrigger: 'b' });
    await tenant.untilInStep(operator.url, 'canvas');
    await operator.travel(25 * hour);
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
    await tenant.untilInStep(operator.url, 'canvas');
    await operator.rest();
    intact = await tenant.ledgerSecret('canvas');
  });

  /** A damage that was not repaired would fail every test after it. */
  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    await tenant.restore(intact);
    await tenant.edit('canvas', { rotationTrigger: 'b' });
    await operator.travel(40 * minute);
  });

  const what = {
    data: (secret?: Secret) => secret?.data,
    version: (secret?: Secret) => secret?.metadata.resourceVersion,
  };
  const states = 'canvas-1 Retiring, canvas-2 Active';

  for (const { title, reason, message, damage } of damages) {
    it(`A ledger that is ${title} is reported, left alone, and used again once it is restored`, async () => {
      const active = (await tenant.ledger('canvas')).activeKeyID ?? '';
      const document = await tenant.servedOf(operator.url, 'canvas');
      const delivery = await tenant.secret('canvas-signing-key');
      await damage({ secret: intact, active, older });
      const damaged = await tenant.secret(name);
      await operator.travel(40 * minute);

      expect(await tenant.untilSays('canvas', 'Stalled', `True ${reason}`)).to.match(message);
      expect(await tenant.untilSays('canvas', 'KeyMaterialAvailable', `False ${reason}`)).to.match(message);
      await eventually(async () => {
        const verdicts = (await tenant.key('canvas-2')).status?.conditions?.map((each) => [
          each.type,
          each.status,
          each.reason,
        ]);
        expect(verdicts).to.deep.equal([['KeyMaterialAvailable', 'False', reason]]);
      });

      // Due work and a request for a rotation change nothing either.
      await tenant.edit('canvas', { rotationTrigger: `after ${title}` });
      await operator.travel(40 * minute);
      expect(what.version(await tenant.secret(name)), 'the damaged Secret').to.equal(what.version(damaged));
      expect(await tenant.states('canvas')).to.equal(states);
      expect((await tenant.servedOf(operator.url, 'canvas')).text, 'the document').to.equal(document.text);
      expect(what.version(await tenant.secret('canvas-signing-key'))).to.equal(what.version(delivery));
      await tenant.edit('canvas', { rotationTrigger: 'b' });
      await operator.rest();

      await tenant.restore(intact);
      await operator.travel(40 * minute);
      await tenant.untilSays('canvas', 'KeyMaterialAvailable', 'True KeysDecryptable');
      await tenant.untilSays('canvas', 'Stalled', 'False NotStalled');
      await tenant.untilInStep(operator.url, 'canvas');
      expect(await tenant.states('canvas')).to.equal(states);
      await eventually(async () => {
        for (const { status } of await tenant.keys('canvas')) {
          expect(status?.conditions?.map(({ status: is }) => is)).to.deep.equal(['True']);
        }
      });
      expect(what.data(await tenant.secret(name)), 'the restored Secret').to.deep.equal(what.data(intact));
    });
  }

  it('A damaged ledger is reported in an event', async () => {
    await tenant.restore({ ...intact, data: {} });
    await operator.travel(40 * minute);
    await tenant.untilSays('canvas', 'Stalled', 'True LedgerCorrupt');
    await eventually(async () => {
      expect((await eventsOf(tenant, 'LedgerCorrupt', 'canvas')).join()).to.include('Warning: ');
    });
    await tenant.restore(intact);
  });
});
