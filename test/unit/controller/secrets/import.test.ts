import { generateKeyPairSync } from 'node:crypto';
import { expect } from 'chai';
import { importGrantAnnotation } from '../../../../src/api/names.ts';
import type { LtiRegistration } from '../../../../src/api/objects.ts';
import { readImports } from '../../../../src/controller/secrets/import.ts';
import { ApiError, TransportError } from '../../../../src/kube/errors.ts';
import type { KubeObject, ResourceType, Secret } from '../../../../src/kube/objects.ts';

type Import = NonNullable<LtiRegistration['spec']['import']>;

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
const { n = '', e = '', ...secret } = privateKey.export({ format: 'jwk' });
const until = '2027-01-31T00:00:00Z';

function oldKey(grant: string | undefined, data: Readonly<Record<string, string>> = { 'private.pem': pem }): Secret {
  const annotations = grant === undefined ? {} : { [importGrantAnnotation]: grant };
  const encoded = Object.entries(data).map(([name, text]) => [name, Buffer.from(text).toString('base64')]);
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'old', namespace: 'gradebook', annotations },
    data: Object.fromEntries(encoded),
  };
}

/** What is read for the registration gradebook/canvas, and which Secrets the API server was asked for. */
async function imported(wanted: Partial<Import>, answer: Secret | Error | undefined, failingFor = 0) {
  const asked: string[] = [];
  const client = {
    async get<T extends KubeObject>(_: ResourceType, namespace: string, name: string): Promise<T> {
      asked.push(`${namespace}/${name}`);
      if (answer instanceof Error) throw answer;
      if (answer?.metadata.name === name) return answer as KubeObject as T;
      throw new ApiError('not found', { status: 404, reason: 'NotFound', missing: 'object' });
    },
    create: () => expect.fail('created something'),
    replace: () => expect.fail('replaced something'),
  };
  const object: LtiRegistration = {
    apiVersion: 'ltikeys.dev/v1alpha1',
    kind: 'LtiRegistration',
    metadata: { name: 'canvas', namespace: 'gradebook' },
    spec: { issuer: 'https://lms.example.edu', import: { entry: 'private.pem', ...wanted } } as LtiRegistration['spec'],
  };
  const imports = await readImports(client, object, failingFor);
  const signing = imports?.state.signing;
  const fault = signing && 'reason' in signing ? `${signing.reason}: ${signing.message}` : undefined;
  return { imports, asked, fault, keyID: signing && 'keyID' in signing ? signing.keyID : undefined };
}

describe('readImports', () => {
  const old = { secretName: 'old', keyID: 'tool:2019' };

  for (const [what, grant] of Object.entries({
    'its name alone': 'canvas',
    'a list with its name': 'moodle,canvas,sakai',
    'a list with blanks': ' moodle , canvas ',
  })) {
    it(`readImports takes the key of a Secret whose grant is ${what}`, async () => {
      const { keyID, imports } = await imported(old, oldKey(grant));
      expect(keyID).to.equal('tool:2019');
      expect(imports?.privateKey?.equals(privateKey)).to.equal(true);
    });
  }

  for (const [what, grant, command] of [
    ['no grant', undefined, ` ${importGrantAnnotation}=canvas`],
    ['an empty grant', '', ` ${importGrantAnnotation}=canvas`],
    ['a grant for others', 'moodle, canvas-2', ` --overwrite ${importGrantAnnotation}=moodle,canvas-2,canvas`],
    ['a grant that is no name', 'x; rm -rf ~', ` ${importGrantAnnotation}=canvas`],
    ['a pattern', '*', ` ${importGrantAnnotation}=canvas`],
    ['very many grants', Array.from({ length: 5000 }, (_, index) => `r${index}`).join(), 'add canvas to the list'],
  ] as const) {
    it(`readImports refuses a Secret with ${what}, and reports a command that keeps existing grants`, async () => {
      const { fault } = await imported(old, oldKey(grant));
      expect(fault).to.match(
        /^ImportNotGranted: Secret gradebook\/old does not grant its import to registration canvas\./,
      );
      if (what === 'very many grants') expect(fault).to.include(command).and.to.have.length.below(1000);
      else expect(fault?.endsWith(`kubectl annotate secret old -n gradebook${command}`), fault).to.equal(true);
    });
  }

  for (const entry of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
    it(`readImports does not find an entry ${entry} that the Secret lacks`, async () => {
      const { fault } = await imported({ ...old, entry }, oldKey('canvas'));
      expect(fault).to.equal(
        `ImportKeyRefused: Secret gradebook/old has no entry ${entry}; name the right one in spec.import.entry`,
      );
      const { data: _, ...empty } = oldKey('canvas');
      expect((await imported({ ...old, entry }, empty)).fault).to.equal(fault);
    });
  }

  it('readImports takes an entry named like a member of objects if the Secret has it', async () => {
    const found = await imported({ ...old, entry: 'constructor' }, oldKey('canvas', { constructor: pem }));
    expect(found.keyID).to.equal('tool:2019');
  });

  for (const secretName of ['.', '..', '../old', 'a/b', 'Old', 'old\n', '', 'x'.repeat(254)]) {
    it(`readImports requests no Secret named ${JSON.stringify(secretName.slice(0, 9))}`, async () => {
      const { fault, asked } = await imported({ secretName }, oldKey('canvas'));
      expect(fault).to.equal(
        'ImportKeyRefused: spec.import.secretName is not a name that a Secret can have; correct it',
      );
      expect(asked).to.deep.equal([]);
    });
  }

  it('readImports reports a missing Secret, and that no key is generated until it exists', async () => {
    const { fault, asked } = await imported(old, undefined);
    expect(fault).to.match(
      /^ImportSecretMissing: Secret gradebook\/old, which spec.import.secretName names, does not exist/,
    );
    expect(asked).to.deep.equal(['gradebook/old']);
  });

  for (const status of [400, 403, 422]) {
    it(`readImports names a Secret that it may not read (${status}), with the response of the API server`, async () => {
      const { fault } = await imported(old, new ApiError('get secrets gradebook/old: no', { status, reason: 'No' }));
      expect(fault).to.equal(
        'ImportSecretUnreadable: the operator cannot read Secret gradebook/old, which spec.import.secretName names, so it creates no key: get secrets gradebook/old: no',
      );
    });
  }

  it('readImports throws if the request fails, and names the Secret once it has failed for longer than it is retried', async () => {
    const failures = [
      new ApiError('busy', { status: 429, reason: 'TooManyRequests' }),
      new ApiError('no service', { status: 503, reason: 'ServiceUnavailable' }),
      new ApiError('not here', { status: 404, reason: 'NotFound', missing: 'resource type' }),
    ];
    for (const failure of failures) {
      expect(await imported(old, failure).catch((error: unknown) => error)).to.equal(failure);
      const { fault } = await imported(old, failure, 3001);
      expect(fault).to.match(
        /^ImportSecretUnreadable: the operator cannot read Secret gradebook\/old,.* creates no key/,
      );
    }
  });

  it('readImports names a Secret whose read timed out', async () => {
    const { fault } = await imported(old, new TransportError('Timeout', 'no answer'));
    expect(fault).to.match(/^ImportSecretUnreadable: .*: no answer$/);
  });

  it('readImports reports an entry without a usable key as a fault that names Secret and entry', async () => {
    const bad = { 'private.pem': `${pem}${pem}` };
    expect((await imported(old, oldKey('canvas', bad))).fault).to.equal(
      'ImportKeyRefused: Secret gradebook/old, entry private.pem cannot be imported: it contains 2 private keys; keep only the one that signs',
    );
    for (const text of ['', '{"kty":"RSA"}', '[[[', '{"kty":"RSA","d":{}}', '\0', pem.slice(0, 99), '"'.repeat(9)]) {
      const { fault } = await imported(old, oldKey('canvas', { 'private.pem': text }));
      expect(fault, text.slice(0, 20)).to.match(
        /^ImportKeyRefused: Secret gradebook\/old, entry private.pem cannot be imported/,
      );
    }
  });

  it('readImports reports both IDs if the JWK has another one than spec.import.keyID', async () => {
    const jwk = JSON.stringify({ ...secret, n, e, kid: 'tool-2020' });
    const { fault } = await imported(old, oldKey('canvas', { 'private.pem': jwk }));
    expect(fault).to.include('its member kid is tool-2020, but spec.import.keyID is tool:2019');
    const own = await imported({ secretName: 'old' }, oldKey('canvas', { 'private.pem': jwk }));
    expect(own.keyID).to.equal('tool-2020');
  });

  describe('verify-only', () => {
    const publicJWK = { kty: 'RSA' as const, n, e };

    for (const odd of [
      '9999-12-31T23:59:59-05:00',
      '2027-01-01T00:00:00+24:00',
      '2027-01-01T00:00:00+99:99',
      '2027-01-01T00:00:00,5Z',
      'x',
      '',
    ]) {
      it(`readImports refuses a verify-only key until ${odd}, which a ledger cannot record`, async () => {
        const verifyOnly = [
          { publicJWK, until },
          { publicJWK, until: odd },
        ];
        const { fault, imports } = await imported({ verifyOnly }, undefined);
        expect(fault).to.equal(
          'ImportKeyRefused: spec.import.verifyOnly[1].until is not a time up to the year 9999; write it in UTC, such as 2027-01-31T00:00:00Z',
        );
        expect(imports?.state.verifyOnly).to.deep.equal([]);
      });
    }

    it('readImports takes a verify-only key until the last second of 9999', async () => {
      const last = '9999-12-31T23:59:59Z';
      const { imports } = await imported({ verifyOnly: [{ publicJWK, until: last }] }, undefined);
      expect(imports?.state.verifyOnly.map(({ until: time }) => time)).to.deep.equal([Date.parse(last)]);
    });

    for (const [member, jwk] of Object.entries({
      'n of nothing': { ...publicJWK, n: '' },
      'n of zero': { ...publicJWK, n: 'A'.repeat(342) },
      'e of one': { ...publicJWK, e: 'AQ' },
      'kid with a blank': { ...publicJWK, kid: 'tool 2018' },
    })) {
      it(`readImports reports a verify-only key with an ${member} as a fault that names it`, async () => {
        const { fault } = await imported({ verifyOnly: [{ publicJWK: jwk, until }] }, undefined);
        expect(fault).to.match(/^ImportKeyRefused: spec.import.verifyOnly\[0\].publicJWK cannot be imported: its? /);
      });
    }
  });
});
