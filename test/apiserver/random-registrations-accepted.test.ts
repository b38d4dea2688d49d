import { expect } from 'chai';
import * as fc from 'fast-check';
import { anyRegistration, type AnyRegistration } from '../builders/random-spec.ts';
import { createNamespace, installCrds } from '../fixtures/control-plane.ts';
import { rawRequest, type Answer } from '../fixtures/raw-api.ts';

/** `LTI_ANY_SEED` draws others, as in random-registrations-recover.test.ts. */
const seed = Number(process.env['LTI_ANY_SEED'] ?? 1);

/** test/builders/random-spec.ts is of use to other tests only if the API server takes most of what it makes. */
describe('Random registrations', () => {
  let namespace = '';

  before(async () => {
    await installCrds();
    namespace = await createNamespace('any');
  });

  function answers(made: readonly AnyRegistration[]): Promise<Answer[]> {
    const path = `/apis/ltikeys.dev/v1alpha1/namespaces/${namespace}/ltiregistrations?dryRun=All&fieldValidation=Strict`;
    const head = { apiVersion: 'ltikeys.dev/v1alpha1', kind: 'LtiRegistration' };
    return Promise.all(
      made.map(({ annotations, spec }) =>
        rawRequest('POST', path, { ...head, metadata: { name: 'canvas', annotations }, spec }),
      ),
    );
  }

  it(`The API server accepts nine in ten random registrations that respect the schema (seed ${seed})`, async () => {
    const refused = (await answers(fc.sample(anyRegistration(), { seed, numRuns: 200 }))).filter(
      ({ code }) => code !== 201,
    );
    const report = refused.map(({ code, message }) => `${code} ${message}`).join('\n');
    expect(refused.length, report).to.be.at.most(20);
  });

  it(`The API server accepts a spoiled random registration or refuses it with a message (seed ${seed})`, async () => {
    const got = await answers(fc.sample(anyRegistration({ spoiled: true }), { seed, numRuns: 200 }));
    const refused = got.filter(({ code }) => code !== 201);
    expect(refused.length).to.be.within(20, 180);
    expect(refused.filter(({ code, message }) => (code !== 422 && code !== 400) || message === '')).to.deep.equal([]);
  });
});
