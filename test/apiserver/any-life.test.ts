import { expect } from 'chai';
import * as fc from 'fast-check';
import { importGrantAnnotation, ltiRegistrations, secrets } from '../../src/api/names.ts';
import type { LtiRegistration } from '../../src/api/objects.ts';
import { isAlreadyExists, isRefusal } from '../../src/kube/errors.ts';
import type { Secret } from '../../src/kube/objects.ts';
import { anyRegistration, type AnyRegistration } from '../builders/any-spec.ts';
import { startOperator, type Operator, until } from './operator.ts';
import { base64, Tenant } from './tenant.ts';

type Spec = LtiRegistration['spec'];

/** `LTI_ANY=2000` is the number that a release has to pass; `LTI_ANY_SEED` draws others. */
const count = Number(process.env['LTI_ANY'] ?? 60);
const seed = Number(process.env['LTI_ANY_SEED'] ?? 1);
const batch = 20;
const statusWithinMs = 10_000;

describe(`Any of ${count} registrations that the API server accepts`, function () {
  this.timeout(60_000 + count * 1000);
  let tenant: Tenant;
  let operator: Operator;

  before(async () => {
    tenant = await Tenant.inNewNamespace('any-life');
    operator = await startOperator({ namespaces: [tenant.namespace] });
  });
  after(async () => {
    await operator.stop();
    await tenant.leave();
  });

  it(`says what is wrong within ${statusWithinMs / 1000} s, and one edit back to a good spec heals it (seed ${seed})`, async () => {
    const drawn = fc.sample(anyRegistration(), { seed, numRuns: count });
    let accepted = 0;
    for (let first = 0; first < drawn.length; first += batch) {
      const names = await applied(drawn.slice(first, first + batch), first);
      accepted += names.length;
      await eachWithin(statusWithinMs, names, 'has no status', ({ status }) => status?.conditions !== undefined);
      for (const name of names) await heal(name);
      await eachWithin(15_000, names, 'does not heal', ({ status, metadata }) => {
        const ready = status?.conditions?.find(({ type }) => type === 'Ready');
        return status?.observedGeneration === metadata.generation && ready?.status === 'True';
      });
    }
    expect(accepted).to.be.at.least(count * 0.8);
  });

  /** The names of those that the API server accepted. */
  async function applied(batchOf: readonly AnyRegistration[], first: number): Promise<readonly string[]> {
    const names = await Promise.all(
      batchOf.map(async ({ annotations, spec }, index) => {
        const name = `any-${first + index}`;
        // How long a key of 4096 bits takes is not what this is about.
        const smallest = { ...spec, key: { size: 2048 } } as unknown as Spec;
        await offerImport(name, smallest);
        try {
          await tenant.client.create<LtiRegistration>(ltiRegistrations, {
            apiVersion: 'ltikeys.dev/v1alpha1',
            kind: 'LtiRegistration',
            metadata: { name, namespace: tenant.namespace, ...(annotations ? { annotations } : {}) },
            spec: smallest,
          });
          return [name];
        } catch (error) {
          if (isRefusal(error)) return [];
          throw error;
        }
      }),
    );
    return names.flat();
  }

  /** The Secret that the registration imports from, granted to it and with something in it that is no key. */
  async function offerImport(name: string, { import: wanted }: Spec): Promise<void> {
    if (wanted?.secretName === undefined) return;
    const annotations = { [importGrantAnnotation]: name };
    const data = { [wanted.entry ?? 'private.pem']: base64('no key') };
    const metadata = { name: wanted.secretName, namespace: tenant.namespace, annotations };
    await tenant.client.create<Secret>(secrets, { metadata, type: 'Opaque', data }).catch((error: unknown) => {
      if (!isAlreadyExists(error) && !isRefusal(error)) throw error;
    });
  }

  async function heal(name: string): Promise<void> {
    await tenant.change<LtiRegistration>(ltiRegistrations, name, (object) => {
      const { annotations: _, ...metadata } = object.metadata;
      const spec = { issuer: object.spec.issuer, delivery: { secretName: `${name}-healed` } } as Spec;
      return { ...object, metadata, spec };
    });
  }

  async function eachWithin(
    milliseconds: number,
    names: readonly string[],
    what: string,
    holds: (object: LtiRegistration) => boolean,
  ): Promise<void> {
    const deadline = Date.now() + milliseconds;
    let left: readonly LtiRegistration[] = [];
    await until(async () => {
      const objects = await Promise.all(names.map((name) => tenant.registration(name)));
      left = objects.filter((object) => !holds(object));
      return left.length === 0 || Date.now() > deadline;
    }, what);
    const said = left.map(({ metadata, spec, status }) => JSON.stringify({ what, metadata, spec, status }));
    expect(said, said.join('\n')).to.deep.equal([]);
  }
});
