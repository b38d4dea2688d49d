import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { expect } from 'chai';
import {
  compactDecrypt,
  CompactSign,
  type CryptoKey,
  decodeProtectedHeader,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
} from 'jose';
import type { LtiRegistration } from '../../src/api/objects.ts';
import { day, hour, minute } from '../../src/domain/duration.ts';
import type { Secret } from '../../src/kube/objects.ts';
import { leakFinder } from '../fixtures/sealing.ts';
import { startOperator, type Operator } from '../fixtures/operator.ts';
import { eventually, Tenant, text } from '../fixtures/tenant.ts';

type Delivery = NonNullable<LtiRegistration['spec']['delivery']>;
type RecipientJwk = NonNullable<Delivery['recipient']>;

interface Recipient {
  readonly jwk: RecipientJwk;
  readonly privateKey: CryptoKey;
}

const secretName = 'canvas-signing-key';

describe('Delivery to a recipient', () => {
  let tenant: Tenant;
  let operator: Operator;

  beforeEach(async () => {
    tenant = await Tenant.inNewNamespace('recipient');
    operator = await startOperator({ namespaces: [tenant.namespace] });
  });

  afterEach(async () => {
    await operator.stop();
    await tenant.leave();
  });

  async function makeRecipient(alg: RecipientJwk['alg'], crv?: string, kid = 'vault'): Promise<Recipient> {
    const { publicKey, privateKey } = await generateKeyPair(alg, crv === undefined ? {} : { crv });
    const jwk = { ...(await exportJWK(publicKey)), alg, kid, use: 'enc' } as RecipientJwk;
    return { jwk, privateKey };
  }

  const deliverTo = (jwk?: RecipientJwk): { delivery: Delivery } => ({
    delivery: { secretName, ...(jwk && { recipient: jwk }) },
  });
  const secret = async (): Promise<Secret> => (await tenant.secret(secretName))!;
  const ready = (): Promise<string> => tenant.untilSays('canvas', 'Ready', 'True SigningKeyReady');

  /** The private JWK in the Secret, as the recipient reads it. */
  async function decrypted({ privateKey }: Recipient): Promise<JWK & { kid: string }> {
    const { plaintext } = await compactDecrypt(text(await secret(), 'private.jwe'), privateKey);
    const jwk: JWK & { kid: string } = JSON.parse(Buffer.from(plaintext).toString());
    return jwk;
  }

  async function expectSignsFor(recipient: Recipient, name: string): Promise<void> {
    const jwk = await decrypted(recipient);
    expect(jwk.kid).to.equal((await tenant.key(name)).spec.keyID);
    expect(text(await secret(), 'kid')).to.equal(jwk.kid);
    const signing = new CompactSign(Buffer.from('hello')).setProtectedHeader({ alg: 'RS256', kid: jwk.kid });
    const token = await signing.sign(await importJWK(jwk, 'RS256'));
    expect(await tenant.accepts(operator.url, 'canvas', token), 'the token is accepted').to.equal(true);
  }

  function expectNoPlaintext({ data, metadata }: Secret, jwk: JWK): void {
    const privateKey = createPrivateKey({ key: jwk, format: 'jwk' });
    const leaks = leakFinder(privateKey, Buffer.alloc(32, 'x'));
    const der = privateKey.export({ format: 'der', type: 'pkcs8' });
    const halves = [
      der.subarray(der.length / 2, der.length / 2 + 30),
      Buffer.from(jwk.d!, 'base64url').subarray(8, 32),
    ];
    for (const [entry, value] of [...Object.entries(data ?? {}), ['metadata', JSON.stringify(metadata)] as const]) {
      const content = entry === 'metadata' ? Buffer.from(value) : Buffer.from(value, 'base64');
      expect(leaks(content.toString()), `${entry} has a private member`).to.equal(false);
      expect(content.toString(), entry).not.to.match(/PRIVATE KEY|"d" ?:/);
      const decoded = Buffer.from(content.toString().replaceAll(/-----[^-]+-----/g, ''), 'base64');
      for (const part of halves) expect(content.includes(part) || decoded.includes(part), entry).to.equal(false);
    }
    expect(leaks(JSON.stringify(jwk)), 'the search finds what it looks for').to.equal(true);
  }

  const kinds: readonly { alg: RecipientJwk['alg']; crv?: string }[] = [
    { alg: 'RSA-OAEP-256' },
    { alg: 'ECDH-ES', crv: 'P-256' },
    { alg: 'ECDH-ES', crv: 'X25519' },
    { alg: 'ECDH-ES+A256KW', crv: 'P-256' },
    { alg: 'ECDH-ES+A256KW', crv: 'P-521' },
  ];
  for (const { alg, crv } of kinds) {
    it(`The delivered key is a JWE (${[alg, crv].filter(Boolean).join(', ')}) that only the recipient decrypts, written once`, async () => {
      const recipient = await makeRecipient(alg, crv);
      await tenant.apply('canvas', deliverTo(recipient.jwk));
      await ready();
      await expectSignsFor(recipient, 'canvas-1');
      const written = await secret();
      expect(Object.keys(written.data ?? {})).to.have.members([
        'private.jwe',
        'kid',
        'public.pem',
        'jwks.json',
        'registration.json',
      ]);
      expectNoPlaintext(written, await decrypted(recipient));
      expect(decodeProtectedHeader(text(written, 'private.jwe'))).to.include({
        alg,
        enc: 'A256GCM',
        cty: 'jwk+json',
        kid: 'vault',
      });
      expect(JSON.parse(text(written, 'registration.json'))).to.include({ client_id: 'tool-1' });

      for (let resync = 0; resync < 2; resync++) await operator.travel(hour);
      await tenant.edit('canvas', { overlap: '50h' });
      await operator.rest();
      expect((await secret()).metadata.resourceVersion, 'nothing was rewritten').to.equal(
        written.metadata.resourceVersion,
      );
    });
  }

  it('The delivered key follows changes of the recipient, to plaintext and back', async () => {
    const [first, second] = await Promise.all([makeRecipient('ECDH-ES', 'P-256'), makeRecipient('ECDH-ES', 'X25519')]);
    await tenant.apply('canvas', deliverTo(first.jwk));
    await ready();
    const jwe = text(await secret(), 'private.jwe');

    await tenant.edit('canvas', deliverTo(second.jwk));
    await eventually(async () => expect(text(await secret(), 'private.jwe')).not.to.equal(jwe));
    await expectSignsFor(second, 'canvas-1');
    const refusal: unknown = await decrypted(first).catch((error: unknown) => error);
    expect(refusal, 'the first one reads it no more').to.be.an('error');

    await tenant.edit('canvas', deliverTo());
    await eventually(async () => expect((await secret()).data).to.include.keys('private.pem', 'private.jwk'));
    expect((await secret()).data).not.to.have.property('private.jwe');
    await tenant.untilInStep(operator.url, 'canvas');

    await tenant.edit('canvas', deliverTo(first.jwk));
    await eventually(async () => expect((await secret()).data).not.to.have.any.keys('private.pem', 'private.jwk'));
    await expectSignsFor(first, 'canvas-1');
    expectNoPlaintext(await secret(), await decrypted(first));
  });

  it('The delivered JWE holds the new key after a rotation', async () => {
    const recipient = await makeRecipient('RSA-OAEP-256');
    await tenant.apply('canvas', deliverTo(recipient.jwk));
    await ready();
    await tenant.edit('canvas', { rotationTrigger: 'staff change' });
    await eventually(async () => expect((await tenant.key('canvas-2')).status?.publishedAt).to.be.a('string'));
    await expectSignsFor(recipient, 'canvas-1');
    await operator.travel(24 * hour + minute);
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
    await eventually(() => expectSignsFor(recipient, 'canvas-2'));
    expectNoPlaintext(await secret(), await decrypted(recipient));
  });

  it('The operator encrypts the key again if the JWE was edited', async () => {
    const recipient = await makeRecipient('ECDH-ES', 'P-256');
    await tenant.apply('canvas', deliverTo(recipient.jwk));
    await ready();
    await tenant.replaceSecret(secretName, (data) => ({ ...data, 'private.jwe': data['kid']! }));
    await operator.travel(hour);
    await eventually(() => expectSignsFor(recipient, 'canvas-1'));
  });

  describe('Unusable recipients', () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' });
    const offCurve = Buffer.alloc(32, 7).toString('base64url');
    const unusable: readonly { what: string; jwk: RecipientJwk }[] = [
      { what: 'a point off the curve', jwk: { kty: 'EC', crv: 'P-256', alg: 'ECDH-ES', x: offCurve, y: offCurve } },
      { what: 'a point that makes no secret', jwk: { kty: 'OKP', crv: 'X25519', alg: 'ECDH-ES', x: 'A'.repeat(43) } },
      { what: 'an RSA key of 1024 bits', jwk: { kty: 'RSA', alg: 'RSA-OAEP-256', n: weak.n!, e: weak.e! } },
      { what: 'a curve of another key type', jwk: { kty: 'OKP', crv: 'P-256', alg: 'ECDH-ES', x: offCurve } },
    ];
    for (const { what, jwk } of unusable) {
      it(`A delivery Secret stays as it was if the recipient is ${what}, and recovers once it is corrected`, async () => {
        const recipient = await makeRecipient('ECDH-ES', 'P-256');
        await tenant.apply('canvas', deliverTo(recipient.jwk));
        await ready();
        const { metadata } = await secret();
        await tenant.edit('canvas', deliverTo(jwk));
        const message = await tenant.untilSays('canvas', 'Stalled', 'True DeliveryRecipientInvalid');
        expect(message)
          .to.include(`not a usable ${jwk.kty} public key for ${jwk.alg}`)
          .and.to.include('Correct the JWK');
        expect(await tenant.says('canvas', 'Ready')).to.equal('False DeliveryRecipientInvalid');
        await operator.travel(hour);
        expect((await secret()).metadata.resourceVersion).to.equal(metadata.resourceVersion);
        await expectSignsFor(recipient, 'canvas-1');

        await tenant.edit('canvas', deliverTo(recipient.jwk));
        await ready();
        expect(await tenant.says('canvas', 'Stalled')).to.equal('False NotStalled');
        expect((await secret()).metadata.resourceVersion).to.equal(metadata.resourceVersion);
      });
    }

    it('A rotation that becomes due with an unusable recipient keeps the former key published', async () => {
      const recipient = await makeRecipient('ECDH-ES', 'P-256');
      await tenant.apply('canvas', deliverTo(recipient.jwk));
      await ready();
      await tenant.edit('canvas', { rotationTrigger: 'staff change', ...deliverTo(unusable[0]!.jwk) });
      await eventually(async () => expect((await tenant.key('canvas-2')).status?.publishedAt).to.be.a('string'));
      await operator.travel(10 * day);
      await expectSignsFor(recipient, 'canvas-1');
      await operator.travel(10 * day);
      await expectSignsFor(recipient, 'canvas-1');

      await tenant.edit('canvas', deliverTo(recipient.jwk));
      await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
      await ready();
      await expectSignsFor(recipient, 'canvas-2');
      await eventually(async () => expect((await tenant.key('canvas-1')).status?.retireAt).to.be.a('string'));
      await operator.travel(49 * hour);
      await tenant.untilStates('canvas', 'canvas-1 Retired, canvas-2 Active');
    });
  });
});
