import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { parse } from 'yaml';
import { formatDuration } from '../../src/domain/duration.ts';
import * as durations from '../builders/durations.ts';
import { controlPlane, createNamespace, installCrds } from '../fixtures/control-plane.ts';
import { rawRequest, type Answer } from '../fixtures/raw-api.ts';

/** Every message the API server gave in this file: at the end each rule of the CRDs must have spoken. */
const heard: string[] = [];

let namespace = '';

async function send(method: 'POST' | 'PATCH' | 'PUT', plural: string, path: string, body: object): Promise<Answer> {
  const answer = await rawRequest(method, `/apis/ltikeys.dev/v1alpha1/namespaces/${namespace}/${plural}${path}`, body);
  heard.push(answer.message);
  return answer;
}

async function getJson(path: string): Promise<object> {
  const { stdout, stderr } = await controlPlane().kubectlRun(['get', '--raw', path]);
  expect(stderr).to.equal('');
  const object: object = JSON.parse(stdout);
  return object;
}

const issuer = 'https://canvas.instructure.com';
const x25519 = { kty: 'OKP', alg: 'ECDH-ES', crv: 'X25519', x: 'u' };

function tryRegistration(spec: object, name = 'canvas'): Promise<Answer> {
  return send('POST', 'ltiregistrations', '?dryRun=All', registration(spec, name));
}

function registration(spec: object, name: string): object {
  return { apiVersion: 'ltikeys.dev/v1alpha1', kind: 'LtiRegistration', metadata: { name }, spec };
}

const keyID = 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs';
const publicJWK = { kty: 'RSA', use: 'sig', alg: 'RS256', kid: keyID, n: 'u'.repeat(342), e: 'AQAB' };
const verifyOnly = (change: object): object => ({
  publicJWK: { kty: 'RSA', n: 'u'.repeat(342), e: 'AQAB', ...change },
  until: '2027-01-01T00:00:00Z',
});
const keySpec = { registrationRef: { name: 'canvas' }, revision: 1, keyID, algorithm: 'RS256', size: 2048, publicJWK };

/** As Canvas, Keycloak and others name their keys. */
const foreignKeyIDs = [
  '2018-06-18T22:33:20Z',
  'a+b/c==',
  'https://lms.example.edu/keys#1',
  '..a/../b',
  '__proto__',
  '!'.repeat(256),
];

function key(spec: object, name: string): object {
  return { apiVersion: 'ltikeys.dev/v1alpha1', kind: 'LtiKey', metadata: { name }, spec: { ...keySpec, ...spec } };
}

function tryKey(spec: object): Promise<Answer> {
  return send('POST', 'ltikeys', '?dryRun=All', key(spec, 'canvas-1'));
}

function setState(state: string | null, query = ''): Promise<Answer> {
  return send('PATCH', 'ltikeys', `/stateful/status${query}`, { status: { state } });
}

function expectRefused({ code, message }: Answer, ...says: readonly string[]): void {
  expect(code, message || 'nothing was refused').to.equal(422);
  for (const words of says) expect(message).to.contain(words);
}

function expectAccepted({ code, message }: Answer): void {
  expect(message).to.equal('');
  expect(code).to.be.oneOf([200, 201]);
}

before(async () => {
  await installCrds();
  namespace = await createNamespace('crd-validation');
});

describe('Refused LtiRegistrations', () => {
  const refusals: Record<string, { spec: object; says: readonly string[] }> = {
    'an http issuer': {
      spec: { issuer: 'http://canvas.instructure.com' },
      says: ['spec.issuer', 'must be an https URL; write it as the platform states it'],
    },
    'an issuer with a query': {
      spec: { issuer: `${issuer}/?tenant=1` },
      says: ['spec.issuer', 'must not have a query; remove the question mark'],
    },
    'an issuer with a fragment': {
      spec: { issuer: `${issuer}/#x` },
      says: ['spec.issuer', 'must not have a fragment; remove the number sign'],
    },
    'an issuer without a host': {
      spec: { issuer: 'https:///lti' },
      says: ['spec.issuer', 'https URL with a host name, such as https://canvas.instructure.com'],
    },
    'an issuer that is too long': {
      spec: { issuer: `${issuer}/${'x'.repeat(2048)}` },
      says: ['spec.issuer: Too long: may not be more than 2048 bytes'],
    },
    'an empty clientID': { spec: { issuer, clientID: '' }, says: ['spec.clientID', 'at least 1 chars long'] },
    'a clientID that is too long': { spec: { issuer, clientID: 'x'.repeat(256) }, says: ['spec.clientID: Too long'] },
    ...Object.fromEntries(
      ['authorizationEndpoint', 'tokenEndpoint', 'jwksURI'].flatMap((field) => [
        [
          `an http ${field}`,
          {
            spec: { issuer, [field]: 'http://platform.example/x' },
            says: [`spec.${field}`, `${field} must be an https URL with a host name; copy it from`],
          },
        ],
        [
          `${field} that is no URL`,
          { spec: { issuer, [field]: 'https://' }, says: [`spec.${field}`, `${field} must be an https URL`] },
        ],
        [
          `a fragment in ${field}`,
          {
            spec: { issuer, [field]: 'https://platform.example/x#y' },
            says: [`spec.${field}`, `${field} must not have a fragment; remove the number sign`],
          },
        ],
      ]),
    ),
    'an empty tokenAudience': { spec: { issuer, tokenAudience: '' }, says: ['spec.tokenAudience', 'at least 1'] },
    'too many deploymentIDs': {
      spec: { issuer, deploymentIDs: Array.from({ length: 1001 }, (_, i) => `${i}`) },
      says: ['spec.deploymentIDs: Too many: 1001: must have at most 1000 items'],
    },
    'a deploymentID twice': { spec: { issuer, deploymentIDs: ['1', '1'] }, says: ['spec.deploymentIDs[1]: Duplicate'] },
    'a deploymentID that is too long': {
      spec: { issuer, deploymentIDs: ['x'.repeat(256)] },
      says: ['spec.deploymentIDs[0]: Too long: may not be more than 255 bytes'],
    },
    'an unknown platform': {
      spec: { issuer, platform: 'canvas' },
      says: ['spec.platform: Unsupported value: "canvas": supported values: "Canvas", "Moodle"'],
    },
    'an unknown keyDistribution': {
      spec: { issuer, keyDistribution: 'Pasted' },
      says: ['spec.keyDistribution: Unsupported value', '"JWKSURL", "Manual"'],
    },
    'an unsupported key size': {
      spec: { issuer, key: { size: 1024 } },
      says: ['spec.key.size: Unsupported value: 1024: supported values: "2048", "3072", "4096"'],
    },
    'an unsupported algorithm': {
      spec: { issuer, key: { algorithm: 'ES256' } },
      says: ['spec.key.algorithm: Unsupported value: "ES256": supported values: "RS256"'],
    },
    'an overlap that reaches rotateAfter': {
      spec: { issuer, rotateAfter: '3d' },
      says: ['spec.rotateAfter', 'must be longer than activationDelay and overlap together', 'lengthen rotateAfter'],
    },
    'a rotateAfter of nothing': {
      spec: { issuer, rotateAfter: '0s', activationDelay: '0s', overlap: '0s' },
      says: ['spec.rotateAfter', 'must be between 1s and 3650d'],
    },
    'a rotateAfter over ten years': {
      spec: { issuer, rotateAfter: '3650d1s' },
      says: ['spec.rotateAfter', 'must be between 1s and 3650d'],
    },
    'an overlap over ten years': {
      spec: { issuer, overlap: '87601h' },
      says: ['spec.overlap', 'must be at most 3650d'],
    },
    'an activationDelay over ten years': {
      spec: { issuer, activationDelay: '999w' },
      says: ['spec.activationDelay', 'must be at most 3650d'],
    },
    'a rotationTrigger that is too long': {
      spec: { issuer, rotationTrigger: 'x'.repeat(257) },
      says: ['spec.rotationTrigger: Too long: may not be more than 256 bytes'],
    },
    'acknowledgedKeyID where the platform fetches': {
      spec: { issuer, acknowledgedKeyID: keyID },
      says: ['spec.acknowledgedKeyID', 'requires keyDistribution Manual or activation AfterFetch'],
    },
    'an activation after a fetch where a person pastes keys': {
      spec: { issuer, keyDistribution: 'Manual', activation: 'AfterFetch' },
      says: ['spec.activation', 'no client fetches a pasted key'],
    },
    'an activation after a fetch at Moodle': {
      spec: { issuer, platform: 'Moodle', activation: 'AfterFetch' },
      says: ['spec.activation', 'fetch a key only after it signed'],
    },
    'an activation after a fetch at Blackboard': {
      spec: { issuer, platform: 'Blackboard', activation: 'AfterFetch' },
      says: ['spec.activation', 'remove activation'],
    },
    'acknowledgedKeyID that is no key ID': {
      spec: { issuer, keyDistribution: 'Manual', acknowledgedKeyID: 'canvas 2' },
      says: ['spec.acknowledgedKeyID', 'copy the key ID from the KEY ID column'],
    },
    'one key both acknowledged and revoked': {
      spec: { issuer, keyDistribution: 'Manual', acknowledgedKeyID: keyID, revokedKeyIDs: [keyID] },
      says: ['spec.acknowledgedKeyID', 'remove the key ID from one of the two'],
    },
    'a revoked key twice': { spec: { issuer, revokedKeyIDs: ['a', 'a'] }, says: ['spec.revokedKeyIDs[1]: Duplicate'] },
    'a revoked key ID that is none': {
      spec: { issuer, revokedKeyIDs: ['a b'] },
      says: ['spec.revokedKeyIDs[0]', 'copy the key ID from the KEY ID column'],
    },
    'too many revoked keys': {
      spec: { issuer, revokedKeyIDs: Array.from({ length: 101 }, (_, i) => `${i}`) },
      says: ['spec.revokedKeyIDs: Too many: 101: must have at most 100 items'],
    },
    'an unknown deletionPolicy': {
      spec: { issuer, deletionPolicy: 'Orphan' },
      says: ['spec.deletionPolicy: Unsupported value: "Orphan": supported values: "Retain", "Delete"'],
    },
    'a negative keyHistoryLimit': {
      spec: { issuer, keyHistoryLimit: -1 },
      says: ['spec.keyHistoryLimit', 'greater than or equal to 0'],
    },
    'a keyHistoryLimit over 20': {
      spec: { issuer, keyHistoryLimit: 21 },
      says: ['spec.keyHistoryLimit', 'less than or equal to 20'],
    },
    ...Object.fromEntries(
      [
        ['a schedule of four fields', { schedule: '0 2 * *' }, ['schedule', 'five fields with one space between them']],
        ['a window of seconds', { duration: '59s' }, ['duration', 'must be between 1m and 366d']],
        ['a window without duration', { duration: undefined }, ['duration: Required value']],
        [
          'a schedule of two lines',
          { schedule: '0 2 * * 6\n0' },
          ['schedule', 'five fields with one space between them'],
        ],
        [
          'a time zone that is no name',
          { timeZone: 'Europe/Berlin\n' },
          ['timeZone', 'IANA name, such as Europe/Berlin'],
        ],
      ].map(([what, change, says]) => [
        what,
        {
          spec: { issuer, rotationWindows: [{ schedule: '0 2 * * 6', duration: '4h', ...Object(change) }] },
          says: ['spec.rotationWindows[0].', ...[says].flat().map(String)],
        },
      ]),
    ),
    'too many windows': {
      spec: { issuer, rotationWindows: Array.from({ length: 9 }, () => ({ schedule: '0 2 * * 6', duration: '4h' })) },
      says: ['spec.rotationWindows: Too many: 9: must have at most 8 items'],
    },
    'a window deadline of eleven years': {
      spec: { issuer, rotationWindowDeadline: '4015d' },
      says: ['spec.rotationWindowDeadline', 'must be at most 3650d'],
    },
    'an empty import': {
      spec: { issuer, import: {} },
      says: ['spec.import', 'needs a secretName, verifyOnly keys, or both'],
    },
    'an imported key ID without a key': {
      spec: { issuer, import: { keyID: 'old', verifyOnly: [verifyOnly({})] } },
      says: ['spec.import', 'add import.secretName or remove import.keyID'],
    },
    'a foreign modulus that is no base64url': {
      spec: { issuer, import: { verifyOnly: [verifyOnly({ n: '+'.repeat(342) })] } },
      says: ['spec.import.verifyOnly[0].publicJWK.n', 'must be base64url without padding'],
    },
    'a foreign exponent that is no base64url': {
      spec: { issuer, import: { verifyOnly: [verifyOnly({ e: '=AQAB' })] } },
      says: ['spec.import.verifyOnly[0].publicJWK.e', 'must be base64url without padding'],
    },
    'a recipient without alg': {
      spec: { issuer, delivery: { secretName: 'x', recipient: { kty: 'RSA', n: 'u', e: 'AQAB' } } },
      says: ['spec.delivery.recipient.alg: Required value'],
    },
    'an RSA recipient without modulus': {
      spec: { issuer, delivery: { secretName: 'x', recipient: { kty: 'RSA', alg: 'RSA-OAEP-256', e: 'AQAB' } } },
      says: ['spec.delivery.recipient', 'needs alg RSA-OAEP-256 and the members n and e'],
    },
    'an elliptic-curve recipient with an RSA alg': {
      spec: {
        issuer,
        delivery: { secretName: 'x', recipient: { kty: 'OKP', alg: 'RSA-OAEP-256', crv: 'X25519', x: 'u' } },
      },
      says: ['spec.delivery.recipient', 'needs alg ECDH-ES or ECDH-ES+A256KW and the members crv and x'],
    },
    'an elliptic-curve recipient without y': {
      spec: { issuer, delivery: { secretName: 'x', recipient: { kty: 'EC', alg: 'ECDH-ES', crv: 'P-256', x: 'u' } } },
      says: ['spec.delivery.recipient', 'needs the member y'],
    },
    'delivered files without a private key': {
      spec: { issuer, delivery: { secretName: 'x', files: ['kid', 'registration.json'] } },
      says: ['spec.delivery.files', 'must have private.jwk or private.pem', 'add one of them'],
    },
    'an encrypted file without a recipient': {
      spec: { issuer, delivery: { secretName: 'x', files: ['private.jwk', 'private.jwe'] } },
      says: ['spec.delivery.files', 'private.jwe, which needs delivery.recipient'],
    },
    'a recipient without the encrypted file': {
      spec: { issuer, delivery: { secretName: 'x', files: ['kid'], recipient: x25519 } },
      says: ['spec.delivery.files', 'must have private.jwe for the recipient'],
    },
    'a recipient and the key in plain text': {
      spec: { issuer, delivery: { secretName: 'x', files: ['private.jwe', 'private.pem'], recipient: x25519 } },
      says: ['spec.delivery.files', 'must not have private.jwk or private.pem'],
    },
    'an unknown delivered file': {
      spec: { issuer, delivery: { secretName: 'x', files: ['private.jwk', 'key.pem'] } },
      says: ['spec.delivery.files[1]: Unsupported value: "key.pem"'],
    },
    'a delivered file twice': {
      spec: { issuer, delivery: { secretName: 'x', files: ['private.jwk', 'private.jwk'] } },
      says: ['spec.delivery.files[1]: Duplicate value'],
    },
    'no delivered file': {
      spec: { issuer, delivery: { secretName: 'x', files: [] } },
      says: ['spec.delivery.files', 'at least 1 item'],
    },
    'delivery to nowhere': {
      spec: { issuer, delivery: {} },
      says: ['spec.delivery', 'either secretName or bundle', 'set one of them'],
    },
    'delivery to a Secret and a bundle': {
      spec: { issuer, delivery: { secretName: 'x', bundle: { name: 'y' } } },
      says: ['spec.delivery', 'either secretName or bundle'],
    },
    'metadata for a bundle': {
      spec: { issuer, delivery: { bundle: { name: 'y' }, metadata: { labels: { a: 'b' } } } },
      says: ['spec.delivery.metadata', 'registrations share the Secrets of a bundle; remove it'],
    },
    'a bundle name that no Secret can have': {
      spec: { issuer, delivery: { bundle: { name: 'Tool_Keys' } } },
      says: ['spec.delivery.bundle.name', 'lower-case letters', 'such as tool-keys'],
    },
    'a bundle of no Secret': {
      spec: { issuer, delivery: { bundle: { name: 'y', shards: 0 } } },
      says: ['spec.delivery.bundle.shards', 'greater than or equal to 1'],
    },
    'delivery into a ledger': {
      spec: { issuer, delivery: { secretName: 'canvas-lti-keys' } },
      says: ['spec.delivery.secretName', 'must not end in -lti-keys', 'choose another'],
    },
    'a delivery Secret that cannot exist': {
      spec: { issuer, delivery: { secretName: 'Canvas_Key' } },
      says: ['spec.delivery.secretName', 'must be a Secret name: lower-case letters', 'such as canvas-signing-key'],
    },
    'suspend that is no boolean': {
      spec: { issuer, suspend: 'yes' },
      says: ['spec.suspend', 'must be of type boolean'],
    },
  };

  for (const [what, { spec, says }] of Object.entries(refusals)) {
    it(`The API server refuses an LtiRegistration with ${what}`, async () =>
      expectRefused(await tryRegistration(spec), ...says));
  }

  it('The API server refuses an LtiRegistration with a name that is no label value', async () => {
    const answer = await tryRegistration({ issuer }, 'c'.repeat(64));
    expectRefused(answer, 'metadata.name must have at most 63 characters', 'choose a shorter name');
  });

  it('The API server refuses to change the issuer of an LtiRegistration', async () => {
    expectAccepted(await send('POST', 'ltiregistrations', '', registration({ issuer }, 'settled')));
    const patch = { spec: { issuer: 'https://moodle.example.edu' } };
    const answer = await send('PATCH', 'ltiregistrations', '/settled?dryRun=All', patch);
    expectRefused(answer, 'spec.issuer', 'is immutable', 'create another LtiRegistration for the new issuer');
    const removal = await send('PATCH', 'ltiregistrations', '/settled?dryRun=All', { spec: { issuer: null } });
    expectRefused(removal, 'spec.issuer', 'is immutable once it is set');
  });

  it('The API server accepts an LtiRegistration without issuer, and lets the issuer be set once', async () => {
    expectAccepted(await send('POST', 'ltiregistrations', '', registration({}, 'later')));
    expectAccepted(await send('PATCH', 'ltiregistrations', '/later', { spec: { clientID: '42' } }));
    expectAccepted(await send('PATCH', 'ltiregistrations', '/later', { spec: { issuer } }));
    const answer = await send('PATCH', 'ltiregistrations', '/later', { spec: { issuer: `${issuer}/` } });
    expectRefused(answer, 'spec.issuer', 'is immutable once it is set');
  });
});

/** Every text that the operator copies into a status, a Secret or a path, and what is refused there. */
describe('Refused characters in LtiRegistrations', () => {
  const blanks = { 'a blank before it': ' a', 'a blank after it': 'a ', 'a tab': 'a\tb', 'a newline': 'a\nb' };
  const invisible = {
    'a control character': 'a\u0001b',
    'a zero-width space': 'a\u200bb',
    'a byte order mark': '\ufeffa',
    'a bidirectional override': 'a\u202eb',
    'a soft hyphen': 'a\u00adb',
    'a line separator': 'a\u2028b',
  };
  const identifier = { ...blanks, ...invisible, 'a no-break space': 'a\u00a0b', 'a filler': 'a\u3164b' };
  const withoutBlanks = { ...identifier, 'a blank inside': 'a b' };
  const url = Object.fromEntries(
    Object.entries(withoutBlanks)
      .filter(([what]) => what !== 'a blank before it')
      .map(([what, text]) => [what, `https://lms.example.edu/${text}`]),
  );
  const foreign = (change: object): object => ({ import: { secretName: 'old', ...change } });
  const fields: Record<string, { spec: (text: string) => object; hostile: Record<string, string>; says: string }> = {
    'spec.issuer': { spec: (text) => ({ issuer: text }), hostile: url, says: 'issuer must consist of printable ASCII' },
    ...Object.fromEntries(
      ['authorizationEndpoint', 'tokenEndpoint', 'jwksURI'].map((field) => [
        `spec.${field}`,
        { spec: (text: string) => ({ [field]: text }), hostile: url, says: `${field} must ` },
      ]),
    ),
    'spec.clientID': {
      spec: (text) => ({ clientID: text }),
      hostile: identifier,
      says: 'clientID must consist of printable ASCII characters on one line, without leading or trailing spaces',
    },
    'spec.deploymentIDs[0]': {
      spec: (text) => ({ deploymentIDs: [text] }),
      hostile: identifier,
      says: 'an entry of deploymentIDs must consist of printable ASCII characters on one line',
    },
    'spec.tokenAudience': {
      spec: (text) => ({ tokenAudience: text }),
      hostile: identifier,
      says: 'tokenAudience must consist of printable ASCII characters on one line',
    },
    'spec.rotationTrigger': {
      spec: (text) => ({ rotationTrigger: text }),
      hostile: { ...invisible, 'a newline': 'a\nb', 'a tab': 'a\tb' },
      says: 'rotationTrigger must be one line without control or invisible characters',
    },
    'spec.acknowledgedKeyID': {
      spec: (text) => ({ keyDistribution: 'Manual', acknowledgedKeyID: text }),
      hostile: withoutBlanks,
      says: 'copy the key ID from the KEY ID column',
    },
    'spec.revokedKeyIDs[0]': {
      spec: (text) => ({ revokedKeyIDs: [text] }),
      hostile: withoutBlanks,
      says: 'copy the key ID from the KEY ID column',
    },
    'spec.import.keyID': {
      spec: (text) => foreign({ keyID: text }),
      hostile: withoutBlanks,
      says: 'copy it from the JWKS in which the platforms find the key',
    },
    'spec.import.verifyOnly[0].publicJWK.kid': {
      spec: (text) => foreign({ verifyOnly: [verifyOnly({ kid: text })] }),
      hostile: withoutBlanks,
      says: 'copy it from the JWKS in which the platforms find the key',
    },
    'spec.import.secretName': {
      spec: (text) => foreign({ secretName: text }),
      hostile: {
        ...withoutBlanks,
        'a dot alone': '.',
        'two dots': '..',
        'a slash': 'a/b',
        'an upper-case letter': 'A',
      },
      says: 'import.secretName must be a Secret name',
    },
    'spec.import.entry': {
      spec: (text) => foreign({ entry: text }),
      hostile: {
        ...withoutBlanks,
        'a dot alone': '.',
        'two dots': '..',
        'two dots first': '..a',
        'the name of a prototype': '__proto__',
      },
      says: 'import.entry must be the name of an entry of a Secret',
    },
  };

  for (const [field, { spec, hostile, says }] of Object.entries(fields)) {
    it(`The API server refuses ${field} with ${Object.keys(hostile).join(', ')}`, async () => {
      for (const [what, text] of Object.entries(hostile)) {
        const answer = await tryRegistration({ issuer, ...spec(text) });
        expect(answer.code, what).to.equal(422);
        expectRefused(answer, field, says);
      }
    });
  }

  const badTimes: Record<string, string> = {
    'an offset of 99 hours': '2027-01-01T00:00:00+99:99',
    'an offset over 14 hours': '2027-01-01T00:00:00+14:01',
    'an offset of a day': '2027-01-01T00:00:00+24:00',
    'a comma before the fraction': '2027-01-01T00:00:00,5Z',
    'a year of five digits in UTC': '9999-12-31T23:59:59-01:00',
    'the year 9999': '9999-01-01T00:00:00Z',
    'a year before the operator': '1999-12-31T23:59:59Z',
    'a leap second': '2027-06-30T23:59:60Z',
    'a day that is none': '2027-02-30T00:00:00Z',
    'a fraction of ten digits': '2027-01-01T00:00:00.0123456789Z',
    'a date alone': '2027-01-01',
    'small letters': '2027-01-01t00:00:00z',
    'no offset': '2027-01-01T00:00:00',
    'a newline after it': '2027-01-01T00:00:00Z\n',
  };
  for (const [what, until] of Object.entries(badTimes)) {
    it(`The API server refuses spec.import.verifyOnly[0].until with ${what}`, async () => {
      const answer = await tryRegistration({ issuer, import: { verifyOnly: [{ ...verifyOnly({}), until }] } });
      expectRefused(answer, 'spec.import.verifyOnly[0].until');
    });
  }

  it('The API server refuses the year 10000 with a message that says what to write', async () => {
    const until = '9999-12-31T23:59:59-01:00';
    const answer = await tryRegistration({ issuer, import: { verifyOnly: [{ ...verifyOnly({}), until }] } });
    expectRefused(answer, 'a_time_from_2000_to_9998_such_as_2026_12_24T00_00_00Z');
  });
});

describe('spec.delivery.metadata', () => {
  const tryMetadata = (metadata: object): Promise<Answer> =>
    tryRegistration({ issuer, delivery: { secretName: 'x', metadata } });

  it('spec.delivery.metadata accepts labels and annotations that a Secret can have', async () => {
    const labels = { team: 'grade-book', 'example.org/tier': '', [`example.org/${'a'.repeat(63)}`]: 'v'.repeat(63) };
    const annotations = { 'reloader.stakater.com/match': 'true', 'Example.org/Note': 'any text\nat all \u200b' };
    expectAccepted(await tryMetadata({ labels, annotations }));
    expectAccepted(
      await tryMetadata({ labels: Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`l${i}`, ''])) }),
    );
  });

  for (const name of [
    'ltikeys.dev/registration',
    'sub.ltikeys.dev/x',
    'kubernetes.io/x',
    'kubectl.kubernetes.io/last-applied-configuration',
    'app.kubernetes.io/managed-by',
    'k8s.io/x',
    'sigs.k8s.io/x',
  ]) {
    it(`spec.delivery.metadata refuses ${name}, which the operator or Kubernetes sets`, async () => {
      for (const part of ['labels', 'annotations']) {
        const answer = await tryMetadata({ [part]: { [name]: 'x' } });
        expectRefused(answer, `spec.delivery.metadata.${part}`, 'use a domain of your own');
      }
    });
  }

  for (const name of ['', 'a b', 'a/b/c', '/a', '-a', 'a\n', 'a\u200b', 'x'.repeat(64), '__proto__']) {
    it(`spec.delivery.metadata refuses the key ${JSON.stringify(name)}, which a Secret cannot have`, async () => {
      for (const part of ['labels', 'annotations']) {
        const body = JSON.stringify(name).slice(1, -1);
        const entry: object = JSON.parse(`{"${body}":"x"}`);
        expectRefused(await tryMetadata({ [part]: entry }), `a key of delivery.metadata.${part} must be a name`);
      }
    });
  }

  it('spec.delivery.metadata refuses too many entries and an invalid label value', async () => {
    const many = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, 'x']));
    for (const part of ['labels', 'annotations']) {
      expectRefused(await tryMetadata({ [part]: many }), `spec.delivery.metadata.${part}`, 'at most 16 items');
    }
    expectRefused(await tryMetadata({ labels: { a: 'a b' } }), 'a value of delivery.metadata.labels must be');
    expectRefused(await tryMetadata({ labels: { a: 'a'.repeat(64) } }), 'Too long: may not be more than 63');
    expectRefused(await tryMetadata({ annotations: { a: 'a'.repeat(4097) } }), 'Too long: may not be more than 4096');
  });
});

describe('Accepted LtiRegistrations', () => {
  const acceptable: Record<string, object> = {
    'nothing but an issuer': { issuer },
    'an issuer with a port and a path': { issuer: 'https://moodle.example.edu:8443/lms' },
    'an issuer of 2048 characters': { issuer: `${issuer}/`.padEnd(2048, 'x') },
    'endpoints that have a query': { issuer, tokenEndpoint: 'https://lms.example.edu/token?site=1' },
    'a tokenAudience that is no URL': { issuer, tokenAudience: 'urn:example:token' },
    '1000 deploymentIDs': { issuer, deploymentIDs: Array.from({ length: 1000 }, (_, i) => `${i}`) },
    'the largest key': { issuer, key: { size: 4096 } },
    'an algorithm and no size': { issuer, key: { algorithm: 'RS256' } },
    'a rotateAfter a second over activationDelay and overlap': { issuer, rotateAfter: '3d1s' },
    'a rotateAfter of ten years': { issuer, rotateAfter: '3650d' },
    'a rotateAfter of a second': { issuer, rotateAfter: '1s', activationDelay: '0s', overlap: '0s' },
    'a key acknowledged that no client has fetched': { issuer, activation: 'AfterFetch', acknowledgedKeyID: keyID },
    'an activation after a fetch at Canvas': { issuer, platform: 'Canvas', activation: 'AfterFetch' },
    'an empty acknowledgedKeyID': { issuer, acknowledgedKeyID: '' },
    'a key acknowledged and another revoked': {
      issuer,
      keyDistribution: 'Manual',
      acknowledgedKeyID: 'x'.repeat(256),
      revokedKeyIDs: [keyID],
    },
    '100 revoked keys of 256 characters': {
      issuer,
      revokedKeyIDs: Array.from({ length: 100 }, (_, i) => `${i}`.padStart(256, '-')),
    },
    'a clientID and a deployment ID with blanks inside': { issuer, clientID: 'my tool', deploymentIDs: ['a b'] },
    'a rotationTrigger in any language': { issuer, rotationTrigger: ' Schlüssel geändert, 鍵を替えた ' },
    ...Object.fromEntries(
      foreignKeyIDs.map((id) => [
        `the key ID ${id.length > 64 ? `of ${id.length} characters` : id} wherever an ID stands`,
        {
          issuer,
          keyDistribution: 'Manual',
          acknowledgedKeyID: id,
          revokedKeyIDs: [`not-${id}`.slice(0, 256)],
          import: { secretName: 'old', keyID: id, verifyOnly: [verifyOnly({ kid: id })] },
        },
      ]),
    ),
    ...Object.fromEntries(
      [
        '2000-01-01T00:00:00Z',
        '2027-01-01T00:00:00.123456789+14:00',
        '9998-12-31T23:59:59-14:00',
        '2028-02-29T12:00:00-03:30',
      ].map((until) => [`until ${until}`, { issuer, import: { verifyOnly: [{ ...verifyOnly({}), until }] } }]),
    ),
    'entries of Secrets with the names of members of objects': {
      issuer,
      import: { secretName: 'old.keys', entry: 'constructor' },
    },
    'an entry that begins with a dot': { issuer, import: { secretName: 'old', entry: '.pem' } },
    'no history': { issuer, keyHistoryLimit: 0 },
    'the longest history': { issuer, keyHistoryLimit: 20 },
    'delivery to a bundle': { issuer, delivery: { bundle: { name: 'tool-keys', shards: 4 } } },
    'one delivered file': { issuer, delivery: { secretName: 'x', files: ['private.pem'] } },
    'one delivered file for a recipient': {
      issuer,
      delivery: { secretName: 'x', files: ['private.jwe'], recipient: x25519 },
    },
    'a delivery Secret name with dots': { issuer, delivery: { secretName: 'keys.canvas.1' } },
  };

  for (const [what, spec] of Object.entries(acceptable)) {
    it(`The API server accepts an LtiRegistration with ${what}`, async () =>
      expectAccepted(await tryRegistration(spec)));
  }

  it('The API server accepts an LtiRegistration with a name of 63 characters with dots', async () => {
    expectAccepted(await tryRegistration({ issuer }, `canvas.${'c'.repeat(56)}`));
  });

  it('The API server accepts changes of everything but the issuer', async () => {
    expectAccepted(await send('POST', 'ltiregistrations', '', registration({ issuer }, 'moving')));
    const spec = {
      clientID: '42',
      platform: 'Canvas',
      rotateAfter: '30d',
      delivery: { secretName: 'x' },
      suspend: true,
    };
    expectAccepted(await send('PATCH', 'ltiregistrations', '/moving?dryRun=All', { spec }));
  });
});

describe('Durations', () => {
  for (const [text, milliseconds] of durations.accepted) {
    it(`The duration ${text} means ${milliseconds} ms`, async () => {
      const asLong = formatDuration(milliseconds);
      const longer = formatDuration(milliseconds + 1000);
      const spec = { issuer, activationDelay: '0s', overlap: text };
      expectAccepted(await tryRegistration({ ...spec, rotateAfter: longer }));
      expectRefused(await tryRegistration({ ...spec, rotateAfter: asLong }), 'spec.rotateAfter');
    });
  }

  for (const text of durations.refused) {
    it(`The duration ${JSON.stringify(text)} is refused in every field`, async () => {
      for (const field of ['rotateAfter', 'activationDelay', 'overlap']) {
        const answer = await tryRegistration({ issuer, [field]: text });
        const says =
          text.length > 24 ? 'may not be more than 24 bytes' : 'whole_numbers_with_units_such_as_90d_or_1d12h';
        expectRefused(answer, `spec.${field}`, says);
      }
    });
  }
});

describe('LtiKeys', () => {
  const refusals: Record<string, { spec: object; says: readonly string[] }> = {
    'a key ID that is none': {
      spec: { keyID: 'a b', publicJWK: { ...publicJWK, kid: 'a b' } },
      says: ['spec.keyID', 'use the kid of publicJWK'],
    },
    'a key ID other than the kid': { spec: { keyID: 'other' }, says: ['spec.keyID', 'must be the kid of publicJWK'] },
    'revision 0': { spec: { revision: 0 }, says: ['spec.revision', 'greater than or equal to 1'] },
    'an unsupported size': { spec: { size: 1024 }, says: ['spec.size', 'greater than or equal to 2048'] },
    'a short modulus': { spec: { publicJWK: { ...publicJWK, n: 'uu' } }, says: ['spec.publicJWK.n', 'at least 342'] },
    'a modulus that is too long': {
      spec: { publicJWK: { ...publicJWK, n: 'u'.repeat(684) } },
      says: ['spec.publicJWK.n: Too long: may not be more than 683 bytes'],
    },
    'an elliptic-curve key': { spec: { publicJWK: { ...publicJWK, kty: 'EC' } }, says: ['spec.publicJWK.kty'] },
    'no registration': { spec: { registrationRef: {} }, says: ['spec.registrationRef.name: Required value'] },
    ...Object.fromEntries(
      ['..', '.', 'a/b', 'A', 'a\nb', '../../etc', 'a_b'].map((name) => [
        `the registration ${JSON.stringify(name)}, which would become a path`,
        { spec: { registrationRef: { name } }, says: ['spec.registrationRef.name', 'use its metadata.name'] },
      ]),
    ),
    'a kid with a blank': {
      spec: { publicJWK: { ...publicJWK, kid: 'a b' } },
      says: ['spec.publicJWK.kid', "should match '^[!-~]+$'"],
    },
  };

  for (const [what, { spec, says }] of Object.entries(refusals)) {
    it(`The API server refuses an LtiKey with ${what}`, async () => expectRefused(await tryKey(spec), ...says));
  }

  it('The API server accepts an LtiKey with every key ID that a platform may know', async () => {
    for (const id of foreignKeyIDs) {
      const answer = await tryKey({ keyID: id, publicJWK: { ...publicJWK, kid: id } });
      expect(answer, id).to.deep.equal({ code: 201, message: '' });
    }
  });

  it('The API server accepts an LtiKey of a registration with dots in its name', async () => {
    expectAccepted(await tryKey({ registrationRef: { name: 'canvas.example' } }));
  });

  it('The API server refuses a private member in an LtiKey and does not quote it', async () => {
    const spec = { publicJWK: { ...publicJWK, d: 'secret' } };
    const path = '?dryRun=All&fieldValidation=Strict';
    const { code, message } = await send('POST', 'ltikeys', path, key(spec, 'canvas-1'));
    expect(code).to.equal(400);
    expect(message).to.contain('unknown field "spec.publicJWK.d"').and.not.contain('secret');
  });

  const changes: Record<string, object> = {
    'another revision': { revision: 2 },
    'another registration': { registrationRef: { name: 'moodle' } },
    'another public key': { publicJWK: { n: 'v'.repeat(342) } },
    'another size': { size: 4096 },
  };

  for (const [what, spec] of Object.entries(changes)) {
    it(`The API server refuses to change an LtiKey to ${what}`, async () => {
      const name = `immutable-${Object.keys(changes).indexOf(what)}`;
      expectAccepted(await send('POST', 'ltikeys', '', key({}, name)));
      const answer = await send('PATCH', 'ltikeys', `/${name}?dryRun=All`, { spec });
      expectRefused(answer, 'spec', 'is immutable', 'change spec.rotationTrigger of the LtiRegistration');
    });
  }
});

describe('The state of an LtiKey', () => {
  const states = ['Next', 'Active', 'Retiring', 'Retired', 'Revoked'];

  before(async () => expectAccepted(await send('POST', 'ltikeys', '', key({}, 'stateful'))));

  it('The state of an LtiKey may change from any to any, because a ledger may have been restored', async () => {
    for (const from of states) {
      for (const to of states) {
        expectAccepted(await setState(from));
        expectAccepted(await setState(to, '?dryRun=All'));
      }
    }
  });

  it('The state of an LtiKey is one of five', async () => {
    expectRefused(await setState('Foreign', '?dryRun=All'), 'status.state: Unsupported value: "Foreign"');
  });

  it('The status of an LtiKey records verifyOnly beside the state', async () => {
    const verify = (value: unknown): Promise<Answer> =>
      send('PATCH', 'ltikeys', '/stateful/status?dryRun=All', { status: { verifyOnly: value } });
    expectAccepted(await verify(true));
    expectRefused(await verify('yes'), 'status.verifyOnly', 'must be of type boolean');
  });
});

describe('The status of an LtiRegistration', () => {
  const path = (name: string): string => `/apis/ltikeys.dev/v1alpha1/namespaces/${namespace}/ltiregistrations/${name}`;
  const setStatus = (status: object): Promise<Answer> =>
    send('PATCH', 'ltiregistrations', '/observed/status?dryRun=All', { status });

  before(async () => expectAccepted(await send('POST', 'ltiregistrations', '', registration({ issuer }, 'observed'))));

  it('The status of an LtiRegistration has a phase, which is one of seven', async () => {
    const phases = 'Pending Ready Rotating Stalled ActionRequired Suspended Revoking'.split(' ');
    for (const phase of phases) expectAccepted(await setStatus({ phase }));
    expectRefused(await setStatus({ phase: 'Happy' }), 'status.phase: Unsupported value: "Happy"');
  });

  it('The status of an LtiRegistration holds a rotate request and key IDs of 256 characters of any kind', async () => {
    const wide = 'é'.repeat(256);
    const ids = { name: 'observed-1', keyID: '!'.repeat(256) };
    expectAccepted(await setStatus({ observedRotateRequest: wide, observedRotationTrigger: wide, activeKey: ids }));
    expectAccepted(await setStatus({ nextKey: ids }));
    expectRefused(
      await setStatus({ observedRotateRequest: 'x'.repeat(257) }),
      'status.observedRotateRequest: Too long',
    );
  });

  it('The status of an LtiRegistration has observedGeneration -1 until the operator has reconciled it', async () => {
    expect(await getJson(path('observed'))).to.have.nested.property('status.observedGeneration', -1);
    expect(await getJson(path('observed'))).to.have.nested.property('metadata.generation', 1);
  });

  it('The initial status of an LtiRegistration does not interfere with apply, server-side apply and status updates', async () => {
    const manifest = JSON.stringify({
      apiVersion: 'ltikeys.dev/v1alpha1',
      kind: 'LtiRegistration',
      metadata: { name: 'applied', namespace },
      spec: { issuer },
    });
    for (const args of [[], ['--server-side', '--force-conflicts']]) {
      for (const outcome of [/(created|serverside-applied)/, /(unchanged|serverside-applied)/]) {
        const kubectl = ['apply', '--filename', '-', ...args];
        const { code, stdout, stderr } = await controlPlane().kubectlRun(kubectl, { input: manifest });
        expect(code, stderr).to.equal(0);
        expect(stdout).to.match(outcome);
      }
    }
    expect(await getJson(path('applied'))).to.have.nested.property('status.observedGeneration', -1);
    const read: { status: object } = JSON.parse(JSON.stringify(await getJson(path('applied'))));
    const status = { ...read.status, observedGeneration: 1, phase: 'Ready' };
    expectAccepted(await send('PUT', 'ltiregistrations', '/applied/status', { ...read, status }));
    expect(await getJson(path('applied'))).to.have.deep.property('status', { observedGeneration: 1, phase: 'Ready' });
    const applied = await controlPlane().kubectlRun(['apply', '--filename', '-', '--server-side'], { input: manifest });
    expect(applied.code, applied.stderr).to.equal(0);
    expect(await getJson(path('applied'))).to.have.deep.property('status', { observedGeneration: 1, phase: 'Ready' });
  });

  it('kubectl get prints the phase right after READY', async () => {
    const { stdout } = await controlPlane().kubectlRun(['get', 'lti', '--namespace', namespace]);
    expect(stdout.split('\n')[0]).to.match(/^NAME +READY +STATUS +ACTIVE KEY/);
    expect(stdout).to.match(/^applied +Ready/m);
  });

  it('kubectl takes the short names lti and ltireg with a name, and lti-all for both kinds', async () => {
    for (const shortName of ['lti', 'ltireg']) {
      const { code, stdout, stderr } = await controlPlane().kubectlRun([
        'get',
        shortName,
        'applied',
        '--namespace',
        namespace,
        '--output=name',
      ]);
      expect(code, stderr).to.equal(0);
      expect(stdout).to.equal('ltiregistration.ltikeys.dev/applied\n');
    }
    const { stdout } = await controlPlane().kubectlRun(['api-resources', '--categories=lti-all', '--output=name']);
    expect(stdout.trim().split('\n').toSorted()).to.deep.equal(['ltikeys.ltikeys.dev', 'ltiregistrations.ltikeys.dev']);
  });
});

describe('Rotation windows without a time zone', () => {
  it('The API server stores a rotation window as it was applied, so that GitOps tools see no drift', async () => {
    const window = { schedule: '0 2 * * 6', duration: '4h' };
    const spec = { issuer, rotationWindows: [window] };
    expectAccepted(await send('POST', 'ltiregistrations', '', registration(spec, 'windowed')));
    const path = `/apis/ltikeys.dev/v1alpha1/namespaces/${namespace}/ltiregistrations/windowed`;
    expect(await getJson(path)).to.have.deep.nested.property('spec.rotationWindows', [window]);
  });
});

describe('The CRD schemas', () => {
  for (const file of ['ltiregistrations', 'ltikeys']) {
    it(`The schema of ${file} describes every field, has no default inside a list, and every rule is tested here`, () => {
      const crd: Crd = parse(readFileSync(new URL(`../../crds/${file}.yaml`, import.meta.url), 'utf8'));
      const silent: string[] = [];
      for (const [path, schema] of walk(crd.spec.versions[0]!.schema.openAPIV3Schema, '')) {
        // The API server allows no description of metadata: it has its own.
        if (!schema.description && path !== '.metadata') silent.push(`${path} has no description`);
        // GitOps tools see a default inside a list as a change at every apply.
        if (path.includes('[]') && schema.default !== undefined) silent.push(`${path} has a default`);
        for (const { rule, message } of schema['x-kubernetes-validations'] ?? []) {
          if (message && !heard.some((text) => text.includes(message.trim()))) silent.push(`${path}: ${rule}`);
        }
      }
      expect(silent).to.deep.equal([]);
    });
  }
});

interface Schema {
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly 'x-kubernetes-validations'?: readonly { readonly rule: string; readonly message?: string }[];
}

interface Crd {
  readonly spec: { readonly versions: readonly { readonly schema: { readonly openAPIV3Schema: Schema } }[] };
}

function* walk(schema: Schema, path: string): Generator<readonly [path: string, schema: Schema]> {
  yield [path, schema];
  for (const [name, property] of Object.entries(schema.properties ?? {})) yield* walk(property, `${path}.${name}`);
  if (schema.items) yield* walk(schema.items, `${path}[]`);
}
