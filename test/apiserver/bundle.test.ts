import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { bundleMemberAnnotation, ltiRegistrations, secrets } from '../../src/api/names.ts';
import type { LtiRegistration } from '../../src/api/objects.ts';
import { day, hour, minute } from '../../src/domain/duration.ts';
import type { Secret } from '../../src/kube/objects.ts';
import { controlPlane } from '../fixtures/control-plane.ts';
import { startOperator, type Operator } from '../fixtures/operator.ts';
import { eventually, Tenant, text } from '../fixtures/tenant.ts';

const bundle = { name: 'tool-keys', shards: 1 };
const files = ['private.jwk', 'registration.json'] as NonNullable<LtiRegistration['spec']['delivery']>['files'];
const delivery = { bundle, ...(files ? { files } : {}) };

describe('Registrations that share a bundle', () => {
  let tenant: Tenant;
  let operator: Operator;

  beforeEach(async () => {
    tenant = await Tenant.inNewNamespace('bundle');
    operator = await startOperator({ namespaces: [tenant.namespace] });
  });
  afterEach(async () => {
    await operator.stop();
    await tenant.leave();
  });

  const stored = (name = 'tool-keys-0'): Promise<Secret | undefined> => tenant.secret(name);
  const keyIDOf = async (registration: string): Promise<string> => {
    const jwk: { kid: string } = JSON.parse(text((await stored())!, `${registration}.private.jwk`));
    createPrivateKey({ key: { ...jwk }, format: 'jwk' });
    return jwk.kid;
  };
  const ready = (registration: string): Promise<string> =>
    tenant.untilSays(registration, 'Ready', 'True SigningKeyReady');
  const apply = async (...names: readonly string[]): Promise<void> => {
    await Promise.all(names.map((name) => tenant.apply(name, { delivery })));
    await Promise.all(names.map(ready));
  };

  it('Twelve registrations that are applied at once are all in the bundle, each with the key that its ledger has', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `lms-${index}`);
    await apply(...names);
    for (const name of names) expect(await keyIDOf(name)).to.equal((await tenant.ledger(name)).activeKeyID);
    expect(Object.keys((await stored())?.data ?? {})).to.have.length(2 * names.length);
  });

  it('A rotation changes the files of one registration alone, and a revocation takes the key of one alone', async () => {
    await apply('canvas', 'moodle');
    const before = (await stored())!;
    await tenant.edit('canvas', { rotationTrigger: 'now' });
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
    await eventually(async () => expect((await tenant.key('canvas-2')).status?.publishedAt).to.be.a('string'));
    await operator.travel(day + hour);
    await eventually(async () => expect(await tenant.states('canvas')).to.match(/canvas-2 Active$/));
    await eventually(async () => expect(await keyIDOf('canvas')).to.equal((await tenant.ledger('canvas')).activeKeyID));
    const after = (await stored())!;
    for (const [entry, value] of Object.entries(after.data ?? {}))
      expect(value === before.data?.[entry], entry).to.equal(entry.startsWith('moodle.'));

    const { keyID } = (await tenant.registration('moodle')).status!.activeKey!;
    await tenant.edit('moodle', { revokedKeyIDs: [keyID], keyDistribution: 'Manual' });
    await operator.travel(minute);
    await eventually(async () => expect((await stored())?.data).to.not.have.any.keys('moodle.private.jwk'));
    expect(await keyIDOf('canvas')).to.equal((await tenant.ledger('canvas')).activeKeyID);
  });

  it('A deleted registration leaves the bundle, and the last one takes the Secret with it', async () => {
    await apply('canvas', 'moodle');
    for (const name of ['canvas', 'moodle']) await tenant.edit(name, { deletionPolicy: 'Delete' });
    await operator.rest();
    await tenant.remove(ltiRegistrations, 'canvas');
    await eventually(async () =>
      expect((await stored())?.data).to.have.all.keys('moodle.private.jwk', 'moodle.registration.json'),
    );
    expect(await keyIDOf('moodle')).to.equal((await tenant.ledger('moodle')).activeKeyID);
    await tenant.remove(ltiRegistrations, 'moodle');
    await eventually(async () => expect(await stored()).to.equal(undefined));
  });

  it('A retained registration is taken out of the bundle with the command of docs/recovery.md', async () => {
    await apply('canvas', 'moodle');
    await operator.rest();
    await tenant.remove(ltiRegistrations, 'canvas');
    await eventually(async () => {
      const orphaned = (await tenant.key('canvas-1')).status?.conditions?.some(({ type }) => type === 'Orphaned');
      expect(orphaned).to.equal(true);
    });
    const before = (await stored())!;
    expect(before.metadata.annotations).to.have.any.keys(bundleMemberAnnotation('canvas'));
    const page = readFileSync(join(import.meta.dirname, '../../docs/recovery.md'), 'utf8');
    const [, args = '', patch = ''] = /```sh\nkubectl (patch secret tool-keys-0 .*) --patch '([^']*)'/.exec(page) ?? [];
    const words = args.replace('gradebook', tenant.namespace).split(' ');
    expect(await controlPlane().kubectlRun([...words, '--patch', patch])).to.include({ code: 0, stderr: '' });
    const after = (await stored())!;
    const others = ([entry]: readonly [string, unknown]): boolean => !/^(bundle\.ltikeys\.dev\/)?canvas/.test(entry);
    expect(after.data).to.deep.equal(Object.fromEntries(Object.entries(before.data ?? {}).filter(others)));
    expect(after.metadata.annotations).to.not.have.any.keys(bundleMemberAnnotation('canvas'));
    expect(await keyIDOf('moodle')).to.equal((await tenant.ledger('moodle')).activeKeyID);
  });

  it('A registration moves between a Secret of its own and a bundle, and has both until the overlap is over', async () => {
    await apply('moodle');
    await tenant.apply('canvas');
    await ready('canvas');
    const { kid } = await tenant.delivered('canvas');
    await tenant.edit('canvas', { delivery });
    await eventually(async () => expect(await keyIDOf('canvas')).to.equal(kid));
    expect((await tenant.delivered('canvas')).kid).to.equal(kid);
    await operator.travel(49 * hour);
    await eventually(async () => expect(await stored('canvas-signing-key')).to.equal(undefined));
    await tenant.edit('canvas', { delivery: { secretName: 'canvas-signing-key' } });
    await eventually(async () => expect((await tenant.delivered('canvas')).kid).to.equal(kid));
    await operator.travel(49 * hour);
    await eventually(async () => expect((await stored())?.data).to.not.have.any.keys('canvas.private.jwk'));
    expect((await stored())?.data).to.have.any.keys('moodle.private.jwk');
  });

  it('A Secret that is no bundle is left alone, and so is a bundle that spec.delivery.secretName names', async () => {
    await tenant.client.create<Secret>(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'tool-keys-0', namespace: tenant.namespace },
      data: { mine: 'eA==' },
    });
    await tenant.apply('canvas', { delivery });
    expect(await tenant.untilSays('canvas', 'Ready', 'False DeliverySecretConflict')).to.include('tool-keys-0');
    expect((await stored())?.data).to.deep.equal({ mine: 'eA==' });
    await tenant.apply('moodle', { delivery: { bundle: { name: 'other', shards: 1 } } });
    await ready('moodle');
    const before = await stored('other-0');
    await tenant.apply('sakai', { delivery: { secretName: 'other-0' } });
    expect(await tenant.untilSays('sakai', 'Ready', 'False DeliverySecretConflict')).to.include('belongs to other');
    expect(await stored('other-0')).to.deep.equal(before);
  });

  it('What is edited in a bundle is repaired, and what belongs to no registration is removed with the next write', async () => {
    await apply('canvas', 'moodle');
    const kid = await keyIDOf('canvas');
    await tenant.replaceSecret('tool-keys-0', (data) => ({ ...data, 'canvas.private.jwk': 'eA==', junk: 'eA==' }));
    await operator.travel(31 * minute);
    await eventually(async () => expect(await keyIDOf('canvas')).to.equal(kid));
    expect((await stored())?.data).to.not.have.any.keys('junk');
  });
});
