import { expect } from 'chai';
import * as fc from 'fast-check';
import { apiVersion, importGrantAnnotation, ltiRegistrations, secrets } from '../../src/api/names.ts';
import type { LtiRegistration } from '../../src/api/objects.ts';
import { isAlreadyExists, isRefusal } from '../../src/kube/errors.ts';
import type { Secret } from '../../src/kube/objects.ts';
import { anyRegistration, type AnyRegistration } from '../builders/random-spec.ts';
import { importEntries } from '../builders/import-entries.ts';
import { startOperator, type Operator, until } from '../fixtures/operator.ts';
import { Tenant } from '../fixtures/tenant.ts';

type Spec = LtiRegistration['spec'];

/** What was drawn for one registration, and the entry of the Secret that it imports from, if it does. */
interface Drawn extends AnyRegistration {
  readonly entry: Buffer;
}

/** A registration that the API server has accepted. */
interface Accepted {
  readonly tenant: Tenant;
  readonly name: string;
}

/** `LTI_ANY=2000` is the number that a release has to pass; `LTI_ANY_SEED` draws others. */
const count = Number(process.env['LTI_ANY'] ?? 60);
const seed = Number(process.env['LTI_ANY_SEED'] ?? 1);
const namespaces = 3;
const batch = 20;

describe(`${count} random registrations that the API server accepts`, function () {
  this.timeout(240_000 + count * 3000);
  const tenants: Tenant[] = [];
  let operator: Operator;

  before(async () => {
    while (tenants.length < namespaces) tenants.push(await Tenant.inNewNamespace('random'));
    operator = await startOperator({ namespaces: tenants.map(({ namespace }) => namespace) });
  });
  after(async () => {
    await operator.stop();
    for (const tenant of tenants) await tenant.leave();
  });

  it(`Every random registration reports what is wrong and recovers when its spec is corrected (seed ${seed})`, async () => {
    const entries = importEntries();
    const any = fc
      .tuple(anyRegistration(), fc.constantFrom(...entries))
      .map(([made, entry]): Drawn => ({ ...made, entry }));
    // The API server refuses one in ten at most (random-registrations-accepted.test.ts).
    const drawn = fc.sample(any, { seed, numRuns: Math.ceil(count * 1.25) });
    let accepted = 0;
    for (let first = 0; first < drawn.length && accepted < count; first += batch) {
      const tenant = tenants[(first / batch) % namespaces]!;
      const made = await applied(tenant, drawn.slice(first, first + batch), first);
      accepted += made.length;
      await untilEach(made, 'every registration says something', saysSomething);
      await Promise.all(made.map((one, index) => heal(one, index % 2 === 0)));
      await untilEach(made, 'every registration is healed', isHealed);
    }
    expect(accepted).to.be.at.least(count);
  });
});

/** Those that the API server accepts. */
async function applied(tenant: Tenant, drawn: readonly Drawn[], first: number): Promise<readonly Accepted[]> {
  const made: Accepted[] = [];
  for (const [index, { annotations, spec, entry }] of drawn.entries()) {
    const name = `any-${first + index}`;
    // How long a key of 4096 bits takes is not what this is about.
    const smallest = { ...spec, key: { size: 2048 } } as unknown as Spec;
    await offerImport(tenant, name, smallest, entry);
    try {
      const metadata = { name, namespace: tenant.namespace, annotations };
      const object: LtiRegistration = { apiVersion, kind: 'LtiRegistration', metadata, spec: smallest };
      await tenant.client.create(ltiRegistrations, object);
      made.push({ tenant, name });
    } catch (error) {
      if (!isRefusal(error)) throw error;
    }
  }
  return made;
}

/** The Secret that the registration imports from, granted to it. One that is there already is granted to it as well. */
async function offerImport(tenant: Tenant, name: string, { import: wanted }: Spec, entry: Buffer): Promise<void> {
  const { secretName, entry: entryName = 'private.pem' } = wanted ?? {};
  if (secretName === undefined) return;
  const data = { [entryName]: entry.toString('base64') };
  const metadata = { name: secretName, namespace: tenant.namespace, annotations: { [importGrantAnnotation]: name } };
  try {
    await tenant.client.create<Secret>(secrets, { metadata, type: 'Opaque', data });
  } catch (error) {
    if (!isAlreadyExists(error)) {
      if (!isRefusal(error)) throw error;
      return;
    }
    await tenant.change<Secret>(secrets, secretName, (secret) => {
      const granted = secret.metadata.annotations?.[importGrantAnnotation];
      const list = granted === undefined ? name : `${granted},${name}`;
      const annotations = { ...secret.metadata.annotations, [importGrantAnnotation]: list };
      return { ...secret, metadata: { ...secret.metadata, annotations }, data };
    });
  }
}

/** Applies a good spec; the request to rotate and the way that the platform learns of keys stay for some. */
async function heal({ tenant, name }: Accepted, stays: boolean): Promise<void> {
  await tenant.change<LtiRegistration>(ltiRegistrations, name, (object) => {
    const { annotations, ...metadata } = object.metadata;
    const { issuer, keyDistribution } = object.spec;
    const spec = { issuer, delivery: { secretName: `${name}-healed` }, ...(stays && { keyDistribution }) } as Spec;
    return { ...object, metadata: stays && annotations ? { ...metadata, annotations } : metadata, spec };
  });
}

function saysSomething({ metadata, status }: LtiRegistration): boolean {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  return status?.observedGeneration === metadata.generation && !!ready?.reason && ready.message !== '';
}

/** A key signs; with Manual a person may have to acknowledge the next one. */
function isHealed({ metadata, spec, status }: LtiRegistration): boolean {
  const says = (wanted: string) => status?.conditions?.find(({ type }) => type === wanted);
  const waits = spec.keyDistribution === 'Manual' && says('ActionRequired')?.reason === 'AcknowledgementRequired';
  return (
    status?.observedGeneration === metadata.generation &&
    says('Ready')?.status === 'True' &&
    (says('Stalled')?.status !== 'True' || waits)
  );
}

async function untilEach(
  made: readonly Accepted[],
  what: string,
  holds: (object: LtiRegistration) => boolean,
): Promise<void> {
  await until(async () => {
    const objects = await Promise.all(made.map(({ tenant, name }) => tenant.registration(name)));
    const left = objects.filter((object) => !holds(object));
    if (left.length === 0) return true;
    throw new Error(left.map(({ metadata, spec, status }) => JSON.stringify({ metadata, spec, status })).join('\n'));
  }, what);
}
