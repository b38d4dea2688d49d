import { expect } from 'chai';

import { secrets } from '../../../src/api/names.ts';
import { generateKeyPair, privateJwk, privatePem, publicPem, type KeyPair } from '../../../src/crypto/key-pair.ts';
import { refusal } from '../../../src/kube/responses.ts';
import type { ResourceType, Secret } from '../../../src/kube/objects.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** A quoted piece of a value must be shorter than this. */
const tooLong = 16;

describe('The message of the API server about a refused Secret', () => {
  let pair: KeyPair;
  let old: KeyPair;
  let secret: Secret;
  let jwe: string;

  before(async () => {
    [pair, old] = await Promise.all([generateKeyPair(2048), generateKeyPair(2048)]);
    jwe = JSON.stringify({
      protected: base64('{"alg":"A256KW"}'),
      ciphertext: privateJwk(pair).d,
      tag: 'q83vEjRWeJCrze8S',
    });
    const data = {
      'ledger.json': base64(`{"serial":1,"keys":["${pair.keyID}"]}`),
      [`${pair.keyID}.jwe`]: base64(jwe),
      'private.pem': base64(privatePem(pair.privateKey)),
      'private.jwk': base64(JSON.stringify(privateJwk(pair))),
      'public.pem': base64(publicPem(pair.privateKey)),
      pin: base64('4711'),
    };
    secret = { metadata: { namespace: 'ns', name: 'canvas', uid: 'u', resourceVersion: '7' }, data };
  });

  function said(
    message: string,
    verb: 'create' | 'replace' | 'delete' = 'replace',
    type: ResourceType = secrets,
  ): string {
    const body = JSON.stringify({ kind: 'Status', reason: 'Invalid', message });
    const error = refusal({ verb, type, namespace: 'ns', name: 'canvas', object: secret }, { status: 422, body });
    const { serverMessage = '' } = error;
    // compared here, because chai would print confidential values
    const same = error.message === `${verb} ${type.plural} ns/canvas: 422 Invalid: ${serverMessage}`;
    expect(same, 'the error message ends with serverMessage').to.equal(true);
    return serverMessage;
  }

  for (const message of [
    'secrets "canvas-lti-keys" is forbidden: exceeded quota: q, requested: count/secrets=1, used: count/secrets=0, limited: count/secrets=0',
    'Secret "canvas-lti-keys" is invalid: data: Forbidden: field is immutable when `immutable` is set',
    `secrets "canvas" is forbidden: ValidatingAdmissionPolicy 'secrets-need-an-owner.platform.example.org' with binding 'secrets-need-an-owner-binding' denied request: every Secret of namespace lti-tools-production-eu-central-1 has an owner`,
    'admission webhook "validation.gatekeeper.sh" denied the request: [must-have-owner] you must provide labels: {"owner"}',
    'secrets is forbidden: User "system:serviceaccount:lti-key-operator:lti-key-operator" cannot create resource "secrets" in API group "" in the namespace "bank"',
  ]) {
    it(`The error quotes a message without a value: ${message.slice(0, 60)}…`, () => {
      for (const verb of ['create', 'replace', 'delete'] as const) expect(said(message, verb)).to.equal(message);
    });
  }

  const quotes: readonly { what: string; of: () => string }[] = [
    { what: 'private.pem as text', of: () => privatePem(pair.privateKey) },
    { what: 'private.pem with escaped newlines', of: () => JSON.stringify(privatePem(pair.privateKey)) },
    { what: 'a piece of private.pem', of: () => privatePem(pair.privateKey).slice(800, 800 + tooLong) },
    { what: 'private.pem in base64', of: () => secret.data?.['private.pem'] ?? '' },
    { what: 'a piece of private.pem in base64', of: () => secret.data?.['private.pem']?.slice(-tooLong) ?? '' },
    { what: 'a member of private.jwk', of: () => privateJwk(pair).dp },
    { what: 'a piece of a member of private.jwk', of: () => privateJwk(pair).q.slice(5, 5 + tooLong) },
    { what: 'a part of a JWE', of: () => 'q83vEjRWeJCrze8S' },
    { what: 'a JWE in base64', of: () => base64(jwe) },
    { what: 'a short value', of: () => '4711' },
  ];
  for (const { what, of } of quotes) {
    it(`The error omits a message that repeats ${what}`, () => {
      for (const verb of ['create', 'replace', 'delete'] as const) {
        const omitted = "the server's message is omitted, because it repeats a value of the Secret";
        expect(said(`denied request: Secret holds "${of()}", which is bad`, verb) === omitted, verb).to.equal(true);
      }
    });
  }

  for (const { what, of } of [
    // without the part that is the same in the PEM of any key
    { what: 'PEM', of: () => privatePem(old.privateKey).slice(100, -30) },
    { what: 'PEM in base64', of: () => base64(privatePem(old.privateKey).slice(100, -30)) },
    { what: 'a member of a JWK', of: () => privateJwk(old).d },
    { what: 'hexadecimal', of: () => Buffer.from(privateJwk(old).d).toString('hex') },
  ]) {
    it(`The error omits a message that quotes the stored object: ${what}`, () => {
      const omitted = "the server's message is omitted, because it may repeat a value of the Secret";
      expect(said(`denied request: was ${of()}`) === omitted).to.equal(true);
    });
  }

  it('The error omits a message if the written Secret is unknown', () => {
    const body = JSON.stringify({ kind: 'Status', reason: 'Invalid', message: 'anything' });
    const error = refusal({ verb: 'create', type: secrets, namespace: 'ns', name: 's' }, { status: 422, body });
    expect(error.message).not.to.contain('anything');
  });

  it('The error quotes a message that repeats entries which are not confidential', () => {
    for (const message of [`serial is {"serial":1,"keys":[`, 'not a PEM: -----BEGIN PUBLIC KEY-----']) {
      expect(said(message)).to.equal(message);
    }
  });

  it('The error quotes any message about other objects', () => {
    const configMaps = { group: '', version: 'v1', kind: 'ConfigMap', plural: 'configmaps' };
    expect(said('the pin is 4711', 'replace', configMaps)).to.equal('the pin is 4711');
  });
});
