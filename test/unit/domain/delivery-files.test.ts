import { expect } from 'chai';
import type { LtiRegistration } from '../../../src/api/objects.ts';
import { publicFiles, wantedKeyFiles, withoutKey } from '../../../src/domain/delivery-files.ts';
import { aKey } from '../../builders/ledger.ts';
import { anLtiRegistration } from '../../builders/registration.ts';

type Delivery = NonNullable<LtiRegistration['spec']['delivery']>;

const delivering = (delivery: Partial<Delivery>): LtiRegistration =>
  anLtiRegistration({ delivery: { secretName: 'signing', ...delivery } });
const recipient: NonNullable<Delivery['recipient']> = { kty: 'OKP', alg: 'ECDH-ES', crv: 'X25519', x: 'A' };
const active = aKey(3, 'Active');
const urls = {
  jwksURL: 'https://keys.example.org/registrations/gradebook/canvas/jwks.json',
  namespaceJwksURL: 'https://keys.example.org/namespaces/gradebook/jwks.json',
};
const filesOf = (delivery: Partial<Delivery>, key = true): Readonly<Record<string, string>> =>
  publicFiles(urls, delivering(delivery), [active], key ? active : undefined);

describe('wantedKeyFiles', () => {
  const cases: readonly (readonly [what: string, delivery: Partial<Delivery>, wanted: readonly string[]])[] = [
    ['no list', {}, ['private.jwk', 'private.pem', 'public.pem']],
    ['no list and a recipient', { recipient }, ['private.jwe', 'public.pem']],
    ['a list', { files: ['private.jwk', 'registration.json'] }, ['private.jwk']],
    ['a list and a recipient', { recipient, files: ['private.jwe', 'kid'] }, ['private.jwe']],
    ['a list that contradicts the recipient', { recipient, files: ['private.pem', 'private.jwe'] }, ['private.jwe']],
  ];
  for (const [what, delivery, wanted] of cases) {
    it(`With ${what}, the private half is delivered as ${wanted.join(', ')}`, () => {
      expect(wantedKeyFiles(delivering(delivery))).to.deep.equal(wanted);
    });
  }
});

describe('publicFiles', () => {
  it('Without a list, the Secret has jwks.json, registration.json and kid', () => {
    expect(filesOf({})).to.have.all.keys('jwks.json', 'registration.json', 'kid');
  });

  it('With a list, the Secret has the files of the list', () => {
    expect(filesOf({ files: ['private.jwk', 'kid'] })).to.have.all.keys('kid');
  });

  it('registration.json names the key and its revision, the URLs of the tool, and the audience under both names', () => {
    const entry: object = JSON.parse(filesOf({})['registration.json']!);
    expect(entry).to.include({
      kid: active.keyID,
      revision: 3,
      tool_jwks_uri: urls.jwksURL,
      namespace_jwks_uri: urls.namespaceJwksURL,
      platform: 'Other',
    });
  });

  it('registration.json names no key, and there is no kid, while none signs', () => {
    const files = filesOf({}, false);
    expect(files).to.have.all.keys('jwks.json', 'registration.json');
    expect(JSON.parse(files['registration.json']!)).to.not.have.any.keys('kid', 'revision');
  });
});

describe('withoutKey', () => {
  it('Files without the key neither have kid nor name it in registration.json', () => {
    const files = withoutKey(filesOf({}));
    expect(files).to.deep.equal(filesOf({}, false));
  });

  it('A damaged registration.json is left out', () => {
    expect(withoutKey({ kid: 'kid-1', 'registration.json': '{' })).to.deep.equal({});
  });
});
