import { generateKeyPairSync } from 'node:crypto';
import { expect } from 'chai';
import { allKeysPath, importGrantAnnotation, namespacePath, secrets } from '../../src/api/names.ts';
import { day, hour, minute, second } from '../../src/domain/duration.ts';
import type { Secret } from '../../src/kube/objects.ts';
import { sleep, systemClock } from '../../src/lib/clock.ts';
import { expectDelivered, FormerKey, importing, keepKey } from '../fixtures/former-keys.ts';
import { startOperator, type Operator, until } from '../fixtures/operator.ts';
import { base64, eventually, Tenant } from '../fixtures/tenant.ts';

describe('Import of keys from a former system', () => {
  let tenant: Tenant;
  let operator: Operator;
  const old = new FormerKey();
  const older = new FormerKey();

  beforeEach(async () => {
    tenant = await Tenant.inNewNamespace('import');
    operator = await startOperator({ namespaces: [tenant.namespace] });
  });

  afterEach(async () => {
    await operator.stop();
    await tenant.leave();
  });

  const now = (): number => operator.clock.now().getTime();
  const accepted = (token: string): Promise<boolean> => tenant.accepts(operator.url, 'canvas', token);
  const inStep = (): Promise<void> => tenant.untilInStep(operator.url, 'canvas');
  const ownKeyIDs = async (): Promise<readonly string[]> => (await tenant.servedOf(operator.url, 'canvas')).keyIDs;

  /** The next key, observed as published, from the request to its first signature. */
  async function rotate(trigger: string, revision: number): Promise<string> {
    await tenant.edit('canvas', { rotationTrigger: trigger });
    const next = `canvas-${revision}`;
    await eventually(async () => expect((await tenant.key(next)).status?.publishedAt).to.be.a('string'));
    await operator.travel(24 * hour + minute);
    await eventually(async () => expect((await tenant.key(next)).status?.state).to.equal('Active'));
    return (await tenant.key(next)).spec.keyID;
  }

  const forms: readonly { form: string; entry?: string; content: string; keyID?: string; ownID?: string }[] = [
    { form: 'PKCS#8', content: old.pem('pkcs8') },
    { form: 'PKCS#1', entry: 'signing.key', content: old.pem('pkcs1'), keyID: 'tool_2019' },
    { form: 'a JWK', entry: 'jwk.json', content: old.jwk(), keyID: 'tool.2019-a' },
    { form: 'a JWK with a kid', entry: 'jwk.json', content: old.jwk('tool-2019-b'), ownID: 'tool-2019-b' },
  ];
  for (const { form, entry, content, keyID, ownID } of forms) {
    const kid = keyID ?? ownID ?? old.thumbprint;
    const named = kid === old.thumbprint ? 'its thumbprint' : `the foreign key ID ${kid}`;
    it(`A registration signs with the key from ${form} under ${named}, and rotates to a generated key`, async () => {
      await keepKey(tenant, 'old', { [entry ?? 'private.pem']: content });
      const token = await old.sign(kid);
      await tenant.apply('canvas', {
        import: importing({ secretName: 'old', ...(entry && { entry }), ...(keyID && { keyID }) }),
      });
      await tenant.untilStates('canvas', 'canvas-1 Active');
      await tenant.untilSays('canvas', 'Ready', 'True SigningKeyReady');
      expect((await tenant.key('canvas-1')).spec).to.deep.include({ revision: 1, keyID: kid, size: 2048 });
      expect((await tenant.registration('canvas')).status?.activeKey).to.deep.include({ name: 'canvas-1', keyID: kid });
      await expectDelivered(tenant, kid, old);
      expect(await ownKeyIDs()).to.deep.equal([kid]);
      expect(await accepted(token)).to.equal(true);

      const next = await rotate('moved', 2);
      await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
      const delivered = await until(async () => {
        const key = await tenant.delivered('canvas').catch(() => undefined);
        return key?.kid === next && key;
      }, 'the second key is delivered');
      expect(next).not.to.equal(kid);
      expect(await accepted(token)).to.equal(true);
      expect(await accepted(await delivered.sign('new'))).to.equal(true);
      for (const path of [namespacePath(tenant.namespace), allKeysPath]) {
        const { keyIDs } = await tenant.served(operator.url, path);
        expect(keyIDs, path).to.include(next);
        const listed = kid === old.thumbprint || path !== allKeysPath;
        expect(keyIDs.includes(kid), `${kid} in ${path}`).to.equal(listed);
      }

      await eventually(async () => expect((await tenant.key('canvas-1')).status?.retireAt).to.be.a('string'));
      await operator.travel(49 * hour);
      await tenant.untilStates('canvas', 'canvas-1 Retired, canvas-2 Active');
      await inStep();
      expect(await accepted(token)).to.equal(false);
    });
  }

  it('A registration keeps an imported key of another size than spec.key.size until the next rotation', async () => {
    const large = new FormerKey(3072);
    await keepKey(tenant, 'old', { 'private.pem': large.pem() });
    await tenant.apply('canvas', { import: importing({ secretName: 'old' }) });
    await tenant.untilStates('canvas', 'canvas-1 Active');
    await inStep();
    await expectDelivered(tenant, large.thumbprint, large);
    expect((await tenant.key('canvas-1')).spec.size).to.equal(3072);
    await operator.travel(30 * day);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active');

    await rotate('moved', 2);
    await inStep();
    expect((await tenant.delivered('canvas')).bits).to.equal(2048);
    expect(await accepted(await large.sign(large.thumbprint))).to.equal(true);
  });

  it('The sidecar serves a key of 4096 bits in the document of the registration', async () => {
    const verifyOnly = [{ ...longKey, until: new Date(now() + day).toISOString() }];
    await tenant.apply('canvas', { import: importing({ verifyOnly }) });
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Retiring');
    await tenant.untilSays('canvas', 'Reconciling', 'False UpToDate');
    expect(await ownKeyIDs()).to.include('big');
    expect((await tenant.key('canvas-2')).spec.size).to.equal(4096);
  });

  it('The sidecar serves verify-only keys until their time, and then they retire', async () => {
    await keepKey(tenant, 'old', { 'private.pem': old.pem() });
    const end = now() + 3 * day;
    await tenant.apply('canvas', {
      import: importing({
        secretName: 'old',
        verifyOnly: [older.verifyOnly(end, 'tool-2018'), older.verifyOnly(now() - day, 'tool-2017')],
      }),
    });
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Retiring');
    await tenant.untilSays('canvas', 'Ready', 'True SigningKeyReady');
    await tenant.untilSays('canvas', 'Reconciling', 'False UpToDate');
    const token = await older.sign('tool-2018');
    expect(await accepted(token)).to.equal(true);
    expect(await ownKeyIDs()).to.have.members([old.thumbprint, 'tool-2018']);

    const { spec, status } = await tenant.key('canvas-2');
    expect(spec).to.deep.include({ keyID: 'tool-2018', revision: 2 });
    expect(Date.parse(status?.retireAt ?? '')).to.be.within(end - second, end);
    expect(status?.kekID).to.equal(undefined);
    expect(status?.conditions).to.deep.equal([]);
    expect(Object.keys((await tenant.ledgerSecret('canvas')).data ?? {})).to.have.members([
      'ledger.json',
      `${old.thumbprint}.jwe`,
    ]);

    await operator.travel(3 * day - hour);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Retiring');
    expect(await accepted(token)).to.equal(true);
    await operator.travel(hour);
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Retired');
    await inStep();
    expect(await accepted(token)).to.equal(false);
  });

  it('A registration never signs with a verify-only key, not even in place of a revoked one', async () => {
    await tenant.apply('canvas', { import: importing({ verifyOnly: [older.verifyOnly(now() + 30 * day)] }) });
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Retiring');
    await tenant.untilSays('canvas', 'Ready', 'True SigningKeyReady');
    const { keyID } = (await tenant.key('canvas-1')).spec;
    await tenant.edit('canvas', { revokedKeyIDs: [keyID] });
    await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Retiring, canvas-3 Active');
    expect(await accepted(await older.sign(older.thumbprint))).to.equal(true);

    await tenant.edit('canvas', { revokedKeyIDs: [keyID, older.thumbprint] });
    await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Revoked, canvas-3 Active');
    await inStep();
    expect(await accepted(await older.sign(older.thumbprint))).to.equal(false);
  });

  describe('Keys that cannot be imported', () => {
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const locked = { format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'x' } as const;
    const refusals: readonly {
      what: string;
      entries?: Readonly<Record<string, string>>;
      grantedTo?: string;
      reason: string;
      says: string;
    }[] = [
      { what: 'no Secret', reason: 'ImportSecretMissing', says: 'which spec.import.secretName names, does not exist' },
      {
        what: 'a Secret without a grant',
        entries: { 'private.pem': old.pem() },
        grantedTo: '',
        reason: 'ImportNotGranted',
        says: `${importGrantAnnotation}=canvas`,
      },
      {
        what: 'a Secret that is granted to another registration',
        entries: { 'private.pem': old.pem() },
        grantedTo: 'moodle',
        reason: 'ImportNotGranted',
        says: 'does not grant its import to registration canvas',
      },
      {
        what: 'a Secret without the entry',
        entries: { 'tls.key': old.pem() },
        reason: 'ImportKeyRefused',
        says: 'has no entry private.pem; name the right one in spec.import.entry',
      },
      {
        what: 'a weak key',
        entries: { 'private.pem': new FormerKey(1024).pem() },
        reason: 'ImportKeyRefused',
        says: 'entry private.pem cannot be imported: it has 1024 bits; only RSA keys of 2048, 3072, 4096 bits can be imported',
      },
      {
        what: 'a key cut short',
        entries: { 'private.pem': old.pem().slice(0, 700) },
        reason: 'ImportKeyRefused',
        says: 'it is PEM without its END line; it was truncated: copy the whole file',
      },
      {
        what: 'two keys in one file',
        entries: { 'private.pem': older.pem() + old.pem() },
        reason: 'ImportKeyRefused',
        says: 'it contains 2 private keys; keep only the one that signs',
      },
      {
        what: 'a key for encryption',
        entries: { 'private.pem': JSON.stringify({ ...JSON.parse(old.jwk()), use: 'enc' }) },
        reason: 'ImportKeyRefused',
        says: 'its member use is not sig, so it is not for RS256 signatures',
      },
      {
        what: 'a key of another kind',
        entries: { 'private.pem': ec.export({ format: 'pem', type: 'pkcs8' }).toString() },
        reason: 'ImportKeyRefused',
        says: 'a key of type ec; RS256 requires RSA',
      },
      {
        what: 'a key with a passphrase',
        entries: { 'private.pem': old.privateKey.export(locked).toString() },
        reason: 'ImportKeyRefused',
        says: 'encrypted with a passphrase; remove the passphrase',
      },
    ];
    for (const { what, entries, grantedTo = 'canvas', reason, says } of refusals) {
      it(`A registration makes no key in place of ${what}, reports why, and imports it once corrected`, async () => {
        if (entries) await keepKey(tenant, 'old', entries, grantedTo);
        await tenant.apply('canvas', { import: importing({ secretName: 'old' }) });
        const message = await tenant.untilSays('canvas', 'Stalled', `True ${reason}`);
        expect(message).to.include(`Secret ${tenant.namespace}/old`).and.to.include(says);
        await operator.travel(hour);
        expect(await tenant.keys('canvas')).to.deep.equal([]);
        expect(await tenant.secret('canvas-lti-keys')).to.equal(undefined);
        expect(await tenant.secret('canvas-signing-key')).to.equal(undefined);
        expect(await tenant.says('canvas', 'Ready')).to.equal('False NoSigningKey');

        if (entries) await tenant.remove(secrets, 'old');
        await keepKey(tenant, 'old', { 'private.pem': old.pem() });
        await operator.travel(minute);
        await tenant.untilStates('canvas', 'canvas-1 Active');
        await inStep();
        await expectDelivered(tenant, old.thumbprint, old);
        expect(await tenant.says('canvas', 'Stalled')).to.equal('False NotStalled');
      });
    }

    it('A registration makes no key beside a weak verify-only key, reports why, and imports it once corrected', async () => {
      const { publicJWK, until: time } = older.verifyOnly(now() + day);
      // 000000 011111 …
      const weak = { ...publicJWK, n: `Af${publicJWK.n.slice(2)}` };
      await tenant.apply('canvas', { import: importing({ verifyOnly: [{ publicJWK: weak, until: time }] }) });
      const message = await tenant.untilSays('canvas', 'Stalled', 'True ImportKeyRefused');
      expect(message).to.match(/^spec.import.verifyOnly.0..publicJWK cannot be imported: it has 2041 bits/);
      expect(await tenant.keys('canvas')).to.deep.equal([]);
      await tenant.edit('canvas', { import: importing({ verifyOnly: [{ publicJWK, until: time }] }) });
      await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Retiring');
      await tenant.untilSays('canvas', 'Stalled', 'False NotStalled');
      const token = await older.sign(older.thumbprint);
      await eventually(async () => expect(await accepted(token)).to.equal(true));
    });
  });

  it('A registration reports that the Secret has no entry named constructor, and imports once corrected', async () => {
    await keepKey(tenant, 'old', { 'private.pem': old.pem() });
    await tenant.apply('canvas', { import: importing({ secretName: 'old', entry: 'constructor' }) });
    const message = await tenant.untilSays('canvas', 'Stalled', 'True ImportKeyRefused');
    expect(message).to.include('has no entry constructor; name the right one in spec.import.entry');
    await tenant.edit('canvas', { import: importing({ secretName: 'old' }) });
    await tenant.untilStates('canvas', 'canvas-1 Active');
  });

  it('A registration shares an imported key and its ID with the other registrations that the grant lists', async () => {
    const names = ['canvas', 'moodle', 'sakai'];
    await keepKey(tenant, 'old', { 'private.pem': old.pem() }, names.join(', '));
    for (const name of names) {
      await tenant.apply(name, { import: importing({ secretName: 'old', keyID: 'tool-2019' }) });
      await tenant.untilStates(name, `${name}-1 Active`);
      await tenant.untilSays(name, 'Ready', 'True SigningKeyReady');
    }
    const ofNamespace = async (): Promise<readonly string[]> =>
      (await tenant.served(operator.url, namespacePath(tenant.namespace))).keyIDs;
    await eventually(async () => expect(await ofNamespace()).to.deep.equal(['tool-2019']));
    await tenant.edit('canvas', { revokedKeyIDs: ['tool-2019'] });
    await eventually(async () => expect(await ownKeyIDs()).not.to.include('tool-2019'));
    await operator.rest();
    expect(await ofNamespace(), 'the others sign with it').to.include('tool-2019');
  });

  it('A registration refuses one key ID for two keys, and treats the same key twice as one', async () => {
    const another = new FormerKey();
    const time = now() + 3 * day;
    await keepKey(tenant, 'old', { 'private.pem': old.pem() });
    const signing = { secretName: 'old', keyID: 'tool-2019' };
    await tenant.apply('canvas', {
      import: importing({ ...signing, verifyOnly: [older.verifyOnly(time, 'tool-2019')] }),
    });
    expect(await tenant.untilSays('canvas', 'Stalled', 'True ImportKeyRefused')).to.include(
      'spec.import.verifyOnly[0].publicJWK cannot be imported: its key ID tool-2019 is also that of another key',
    );
    const twice = [older.verifyOnly(time, 'a'), another.verifyOnly(time, 'a')];
    await tenant.edit('canvas', { import: importing({ ...signing, verifyOnly: twice }) });
    await eventually(async () =>
      expect((await tenant.condition('canvas', 'Stalled'))?.message).to.include(
        'verifyOnly[1].publicJWK cannot be imported',
      ),
    );
    expect(await tenant.keys('canvas')).to.deep.equal([]);

    const same = [old.verifyOnly(time, 'tool-2019'), older.verifyOnly(time, 'a'), older.verifyOnly(time, 'a')];
    await tenant.edit('canvas', { import: importing({ ...signing, verifyOnly: same }) });
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Retiring');
    await tenant.untilSays('canvas', 'Ready', 'True SigningKeyReady');
    await tenant.untilSays('canvas', 'Reconciling', 'False UpToDate');
    expect(await ownKeyIDs()).to.deep.equal(['a', 'tool-2019']);
    expect(await accepted(await old.sign('tool-2019'))).to.equal(true);
  });

  it('The operator reads the Secret once, and later changes of it or of spec.import have no effect', async () => {
    await keepKey(tenant, 'old', { 'private.pem': old.pem() });
    await tenant.apply('canvas', { import: importing({ secretName: 'old', keyID: 'tool-2019' }) });
    await tenant.untilStates('canvas', 'canvas-1 Active');
    await tenant.untilSays('canvas', 'Ready', 'True SigningKeyReady');
    await operator.rest();
    const { serial } = await tenant.ledger('canvas');
    const unchanged = async (): Promise<void> => {
      await operator.travel(hour);
      expect(await tenant.states('canvas')).to.equal('canvas-1 Active');
      expect(await ownKeyIDs()).to.deep.equal(['tool-2019']);
      await expectDelivered(tenant, 'tool-2019', old);
      expect((await tenant.ledger('canvas')).serial).to.equal(serial);
      expect(await tenant.says('canvas', 'Stalled')).to.equal('False NotStalled');
    };
    await tenant.replaceSecret('old', () => ({ 'private.pem': base64(older.pem()) }));
    await unchanged();
    await tenant.change<Secret>(secrets, 'old', (secret) => ({
      ...secret,
      metadata: { ...secret.metadata, annotations: {} },
    }));
    await unchanged();
    await tenant.remove(secrets, 'old');
    await unchanged();
    const { metadata } = await tenant.edit('canvas', {
      import: importing({ secretName: 'other', keyID: 'b', verifyOnly: [older.verifyOnly(now() + 9 * day)] }),
    });
    await eventually(async () =>
      expect((await tenant.registration('canvas')).status?.observedGeneration).to.equal(metadata.generation),
    );
    await unchanged();
  });

  it('The operator imports nothing in place of a lost ledger, although the Secret still exists', async () => {
    await keepKey(tenant, 'old', { 'private.pem': old.pem() });
    await tenant.apply('canvas', { import: importing({ secretName: 'old' }) });
    await tenant.untilStates('canvas', 'canvas-1 Active');
    await inStep();
    const ledger = await tenant.ledgerSecret('canvas');
    await tenant.remove(secrets, 'canvas-lti-keys');
    await operator.travel(hour);
    await tenant.untilSays('canvas', 'Stalled', 'True LedgerMissing');
    expect(await tenant.secret('canvas-lti-keys')).to.equal(undefined);
    expect(await ownKeyIDs()).to.deep.equal([old.thumbprint]);
    await tenant.restore(ledger);
    await operator.travel(hour);
    await inStep();
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active');
  });

  it('A platform rejects no token between the import and the end of a rotation', async () => {
    await keepKey(tenant, 'old', { 'private.pem': old.pem() });
    const tokens = [await old.sign('tool-2019'), await older.sign('tool-2018')];
    await tenant.apply('canvas', {
      import: importing({
        secretName: 'old',
        keyID: 'tool-2019',
        verifyOnly: [older.verifyOnly(now() + 60 * day, 'tool-2018')],
      }),
    });
    await tenant.untilSays('canvas', 'Ready', 'True SigningKeyReady');
    await tenant.untilSays('canvas', 'Reconciling', 'False UpToDate');
    const over = new AbortController();
    let checks = 0;
    const rejected: string[] = [];
    const platform = (async () => {
      for (; !over.signal.aborted; checks++) {
        for (const token of tokens) if (!(await accepted(token))) rejected.push(token.split('.')[0]!);
        await sleep(systemClock, 10);
      }
    })();
    const kids = [await rotate('moved', 3), await rotate('again', 4)];
    await operator.rest();
    const delivered = await tenant.delivered('canvas');
    expect(delivered.kid).to.equal(kids[1]);
    tokens.push(await delivered.sign('new'));
    const seen = checks;
    await eventually(async () => expect(checks).to.be.greaterThan(seen + 3));
    over.abort();
    await platform;
    expect(rejected).to.deep.equal([]);
    expect(checks).to.be.greaterThan(20);
  });
});

/** A public key of 4096 bits that is only served, so no test has to generate it. */
const longKey = {
  publicJWK: {
    kty: 'RSA' as const,
    kid: 'big',
    n: Buffer.concat([Buffer.of(0xc1), Buffer.alloc(510, 0x5a), Buffer.of(0x35)]).toString('base64url'),
    e: 'AQAB',
  },
};
