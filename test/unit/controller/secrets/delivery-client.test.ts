import { expect } from 'chai';
import { deliverySecretType, registrationLabel, secrets } from '../../../../src/api/names.ts';
import { memberOf } from '../../../../src/controller/secrets/bundle.ts';
import { DeliveryClient } from '../../../../src/controller/secrets/delivery-client.ts';
import { isConflict, isRefusedWrite } from '../../../../src/kube/errors.ts';
import type { Secret } from '../../../../src/kube/objects.ts';
import { MemoryObjects } from '../../../fakes/memory-objects.ts';

const memberNamed = (registration: string, kid: string, resourceVersion?: string): Secret => ({
  apiVersion: 'v1',
  kind: 'Secret',
  type: deliverySecretType,
  metadata: {
    name: 'tool-keys-0',
    namespace: 'gradebook',
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    annotations: { [registrationLabel]: registration, 'ltikeys.dev/bundle': 'tool-keys' },
  },
  data: { kid: Buffer.from(kid).toString('base64') },
});

describe('DeliveryClient', () => {
  let objects: MemoryObjects;
  let client: DeliveryClient;
  beforeEach(() => {
    objects = new MemoryObjects();
    client = new DeliveryClient(objects.client);
  });
  const bundle = (): Secret | undefined => objects.find<Secret>(secrets, 'gradebook', 'tool-keys-0');
  const refusal = async (write: Promise<unknown>): Promise<unknown> =>
    write.then(
      () => expect.fail('it was written'),
      (error: unknown) => error,
    );

  it('DeliveryClient writes many members of one bundle at once, and loses none', async () => {
    const names = Array.from({ length: 100 }, (_, index) => `lms-${index}`);
    await Promise.all(names.map((name) => client.create(memberNamed(name, name))));
    expect(names.every((name) => memberOf(bundle()!, name) !== undefined)).to.equal(true);
  });

  it('DeliveryClient writes a member over the version that was read, whatever happened to other members', async () => {
    const read = await client.create(memberNamed('canvas', 'a'));
    await client.create(memberNamed('moodle', 'b'));
    const written = await client.replace(memberNamed('canvas', 'c', read.metadata.resourceVersion));
    expect(memberOf(bundle()!, 'canvas')).to.deep.equal(written);
    expect(memberOf(bundle()!, 'moodle')).to.not.equal(undefined);
    const late = await refusal(client.replace(memberNamed('canvas', 'd', read.metadata.resourceVersion)));
    expect(isConflict(late)).to.equal(true);
    expect(isConflict(await refusal(client.create(memberNamed('canvas', 'e'))))).to.equal(true);
  });

  it('DeliveryClient reports a lost race with another process, and overwrites nothing', async () => {
    await client.create(memberNamed('canvas', 'a'));
    let raced = false;
    objects.before = (call) => {
      if (raced || call !== 'replace secrets tool-keys-0') return;
      raced = true;
      objects.put(secrets, { ...bundle()!, data: { ...bundle()!.data, 'sakai.kid': 'eA==' } });
    };
    expect(isConflict(await refusal(client.create(memberNamed('moodle', 'b'))))).to.equal(true);
    expect(bundle()?.data).to.have.all.keys('canvas.kid', 'sakai.kid');
  });

  it('DeliveryClient takes a member from the bundle, and deletes the bundle with the last one', async () => {
    const canvas = await client.create(memberNamed('canvas', 'a'));
    const moodle = await client.create(memberNamed('moodle', 'b'));
    await client.delete(canvas);
    expect(bundle()?.data).to.have.all.keys('moodle.kid');
    await client.delete(moodle);
    expect(bundle()).to.equal(undefined);
  });

  it('DeliveryClient does not write a member into a Secret that is no bundle', async () => {
    const { annotations: _, ...metadata } = memberNamed('canvas', 'a').metadata;
    objects.put<Secret>(secrets, { ...memberNamed('canvas', 'a'), metadata });
    expect(isConflict(await refusal(client.create(memberNamed('canvas', 'a'))))).to.equal(true);
    expect(bundle()?.data).to.have.all.keys('kid');
  });

  it('DeliveryClient refuses a new member of a full bundle, and still writes a present one', async () => {
    const canvas = await client.create(memberNamed('canvas', 'a'));
    await client.create(memberNamed('large', 'x'.repeat(760 * 1024)));
    const refused = await refusal(client.create(memberNamed('moodle', 'x'.repeat(16 * 1024))));
    expect(isRefusedWrite(refused)).to.equal(true);
    expect((refused as Error).message).to.include('double spec.delivery.bundle.shards');
    await client.replace(memberNamed('canvas', 'x'.repeat(16 * 1024), canvas.metadata.resourceVersion));
  });
});
