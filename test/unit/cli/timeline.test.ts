import { expect } from 'chai';
import { shownLedger, timeline } from '../../../src/cli/timeline.ts';
import type { LtiKey, LtiRegistration } from '../../../src/api/objects.ts';
import { day, formatInstant, hour } from '../../../src/domain/duration.ts';
import { emptyLedger } from '../../../src/domain/ledger.ts';
import { readRegistration } from '../../../src/domain/registration.ts';

const now = Date.parse('2026-11-27T00:00:00Z');

function registration(
  spec: Partial<LtiRegistration['spec']> = {},
  status?: LtiRegistration['status'],
): LtiRegistration {
  return {
    apiVersion: 'ltikeys.dev/v1alpha1',
    kind: 'LtiRegistration',
    metadata: { name: 'canvas', namespace: 'gradebook', generation: 1 },
    // oxlint-disable-next-line no-unsafe-type-assertion -- the rest are defaults
    spec: { issuer: 'https://canvas.example', ...spec } as LtiRegistration['spec'],
    ...(status ? { status } : {}),
  };
}

function key(revision: number, status: NonNullable<LtiKey['status']>): LtiKey {
  const keyID = `k${revision}`;
  return {
    apiVersion: 'ltikeys.dev/v1alpha1',
    kind: 'LtiKey',
    metadata: { name: `canvas-${revision}`, namespace: 'gradebook' },
    spec: {
      registrationRef: { name: 'canvas' },
      revision,
      keyID,
      algorithm: 'RS256',
      size: 2048,
      publicJWK: { kty: 'RSA', use: 'sig', alg: 'RS256', kid: keyID, n: 'AQAB', e: 'AQAB' },
    },
    status,
  };
}

const steps = (entries: ReturnType<typeof timeline>): string[] =>
  entries.map(({ at, key: name, what }) => `${Math.round((at - now) / hour)}h ${name}: ${what}`);

describe('The timeline of a registration', () => {
  it('The timeline of a registration shows the first key, and a whole rotation, for a manifest that is not applied yet', () => {
    const wanted = readRegistration(registration());
    const entries = timeline({ registration: wanted, ledger: emptyLedger('gradebook', 'canvas'), now }, now + 95 * day);
    const rotation = entries.find(({ key: name, what }) => name === 'canvas-2' && what.startsWith('signs'))!.at;
    expect(rotation - now).to.be.within(85.5 * day, 90 * day + hour);
    expect(entries.map(({ key: name, what }) => `${name} ${what}`)).to.deep.equal([
      'canvas-1 is created and published: it is the first key',
      'canvas-1 signs from now on',
      'canvas-2 is created and published: the signing key reaches rotateAfter',
      'canvas-2 signs from now on',
      'canvas-1 leaves the JWKS, and its private key is destroyed',
    ]);
    expect(entries.at(-1)!.at - rotation).to.equal(48 * hour);
  });

  it('The timeline of a registration continues what is in progress: a retiring key, and a next key that waits for its delay', () => {
    const at = (offset: number): string => formatInstant(now + offset);
    const status = {
      activeKey: { name: 'canvas-2', keyID: 'k2' },
      nextKey: { name: 'canvas-3', keyID: 'k3', activateAfter: at(4 * hour) },
      ledgerSerial: 9,
    };
    const object = registration({}, status);
    const times = { createdAt: at(-20 * hour), publishedAt: at(-20 * hour) };
    const keys = [
      key(1, { state: 'Retiring', createdAt: at(-90 * day), activatedAt: at(-80 * day), retireAt: at(hour) }),
      key(2, { state: 'Active', createdAt: at(-3 * day), publishedAt: at(-3 * day), activatedAt: at(-47 * hour) }),
      key(3, { state: 'Next', ...times }),
    ];
    const present = readRegistration(object);
    const ledger = shownLedger(present, object, keys);
    expect(steps(timeline({ registration: present, ledger, now }, now + 3 * day))).to.deep.equal([
      '1h canvas-1: leaves the JWKS, and its private key is destroyed',
      '4h canvas-3: signs from now on',
      '52h canvas-2: leaves the JWKS, and its private key is destroyed',
    ]);
  });

  it('The timeline of a registration shows what a changed manifest brings about: a new rotationTrigger starts a rotation now', () => {
    const object = registration({}, { activeKey: { name: 'canvas-1', keyID: 'k1' }, ledgerSerial: 3 });
    const times = { createdAt: formatInstant(now - 5 * day), publishedAt: formatInstant(now - 5 * day) };
    const ledger = shownLedger(readRegistration(object), object, [
      key(1, { state: 'Active', ...times, activatedAt: times.createdAt }),
    ]);
    const wanted = readRegistration(registration({ rotationTrigger: 'staff change' }));
    expect(steps(timeline({ registration: wanted, ledger, now }, now + 4 * day))).to.deep.equal([
      '0h canvas-2: is created and published: rotationTrigger changed',
      '24h canvas-2: signs from now on',
      '72h canvas-1: leaves the JWKS, and its private key is destroyed',
    ]);
  });

  it('The timeline of a registration shows no rotation because an imported key is larger than spec.key.size', () => {
    const times = { createdAt: formatInstant(now - 5 * day), publishedAt: formatInstant(now - 5 * day) };
    const object = registration(
      { import: { secretName: 'old', entry: 'private.pem' } },
      { activeKey: { name: 'canvas-1', keyID: 'k1' } },
    );
    const imported = key(1, { state: 'Active', ...times, activatedAt: times.createdAt });
    const present = readRegistration(object);
    const ledger = shownLedger(present, object, [{ ...imported, spec: { ...imported.spec, size: 4096 } }]);
    expect(timeline({ registration: present, ledger, now }, now + 30 * day)).to.deep.equal([]);
  });

  it('The timeline of a registration shows no rotation of a suspended registration', () => {
    const object = registration({ suspend: true }, { activeKey: { name: 'canvas-1', keyID: 'k1' } });
    const times = { createdAt: formatInstant(now - 89 * day), publishedAt: formatInstant(now - 89 * day) };
    const present = readRegistration(object);
    const ledger = shownLedger(present, object, [key(1, { state: 'Active', ...times, activatedAt: times.createdAt })]);
    expect(timeline({ registration: present, ledger, now }, now + 30 * day)).to.deep.equal([]);
  });

  it('The timeline of a registration ends for a registration that rotates often, however far it looks ahead', () => {
    const wanted = readRegistration(registration({ rotateAfter: '3h', activationDelay: '70m', overlap: '1h' }));
    const entries = timeline(
      { registration: wanted, ledger: emptyLedger('gradebook', 'canvas'), now },
      now + 3650 * day,
    );
    expect(entries.length).to.be.greaterThan(100);
  });
});
