import { expect } from 'chai';
import { Registry } from 'prom-client';
import { ltiKeyIndexers } from '../../../src/controller/event-handlers.ts';
import { registrationMetrics } from '../../../src/controller/registration-metrics.ts';
import type { registrationConditions } from '../../../src/api/conditions.ts';
import type { LtiKey, LtiRegistration } from '../../../src/api/objects.ts';
import { type KeyState, keyStates } from '../../../src/domain/key-state.ts';
import { Store } from '../../../src/kube/store.ts';
import { objectMetrics } from '../../../src/observability/object-metrics.ts';
import { aPublicJwk } from '../../builders/ledger.ts';
import { anLtiRegistration } from '../../builders/registration.ts';

let version = 0;
const resourceVersion = (): string => String((version += 1));

const of = 'namespace="gradebook",registration="canvas"';

function condition(type: string, status: 'True' | 'False' | 'Unknown', reason: string): object {
  return { type, status, reason, message: 'm', lastTransitionTime: '2026-01-01T00:00:00Z' };
}

const well: Readonly<Record<keyof typeof registrationConditions, 'True' | 'False'>> = {
  Ready: 'True',
  Published: 'True',
  KeyMaterialAvailable: 'True',
  Registered: 'True',
  ActionRequired: 'False',
  RevocationEffective: 'True',
  Reconciling: 'False',
  Stalled: 'False',
};
const conditionsWell = Object.entries(well).map(([type, status]) => condition(type, status, 'Well'));
const conditionsIll = Object.entries(well).map(([type, status]) =>
  condition(type, status === 'True' ? 'False' : 'True', 'Ill'),
);

function registration(
  conditions: readonly object[] = conditionsWell,
  spec: Partial<LtiRegistration['spec']> = {},
): LtiRegistration {
  const activeKey = {
    name: 'canvas-1',
    keyID: 'kid-1',
    createdAt: '2026-01-01T00:00:00Z',
    activatedAt: '2026-01-02T00:00:00Z',
  };
  const status = { conditions, activeKey, nextRotationTime: '2026-04-01T00:00:00Z' };
  const { metadata, ...rest } = anLtiRegistration(spec);
  return {
    ...rest,
    metadata: { ...metadata, resourceVersion: resourceVersion() },
    status: status as unknown as LtiRegistration['status'] & object,
  };
}

function key(revision: number, state: KeyState | undefined, name = 'canvas'): LtiKey {
  const keyID = `kid-${revision}`;
  const spec = {
    registrationRef: { name },
    revision,
    keyID,
    algorithm: 'RS256',
    size: 2048,
    publicJWK: aPublicJwk(keyID),
  };
  return {
    apiVersion: 'ltikeys.dev/v1alpha1',
    kind: 'LtiKey',
    metadata: { name: `${name}-${revision}`, namespace: 'gradebook', resourceVersion: resourceVersion() },
    spec: spec as LtiKey['spec'],
    ...(state ? { status: { state } } : {}),
  };
}

describe('The metrics of registrations', () => {
  let registrations: Store<LtiRegistration>;
  let keys: Store<LtiKey>;
  let synced: boolean;

  beforeEach(() => {
    registrations = new Store();
    keys = new Store(ltiKeyIndexers);
    synced = true;
  });

  /** The series at a scrape. */
  function scraped(): readonly string[] {
    const source = {
      list: () => registrations.list(),
      get: (place: string) => registrations.get(place),
      isRead: () => synced,
    };
    const text = [...objectMetrics(registrationMetrics(source, keys))].join('');
    return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  }

  const ofCanvas = (): readonly string[] => scraped().filter((line) => line.includes('registration="canvas"'));

  it('A registration without problems has five series, and none once it is gone', () => {
    registrations.put(registration());
    keys.put(key(1, 'Active'));
    expect(ofCanvas()).to.deep.equal([
      `lti_registration_ready{${of}} 1`,
      `lti_signing_key_activated_timestamp_seconds{${of}} 1767312000`,
      `lti_next_rotation_timestamp_seconds{${of}} 1775001600`,
      `lti_rotate_after_seconds{${of}} 7776000`,
      `lti_registration_last_fetch_timestamp_seconds{${of}} 0`,
    ]);
    expect(scraped()).to.include('lti_registrations 1').and.to.include('lti_keys{state="Active"} 1');
    registrations.delete(registration());
    keys.delete(key(1, 'Active'));
    expect(scraped()).to.deep.equal([
      'lti_registrations 0',
      ...keyStates.map((state) => `lti_keys{state="${state}"} 0`),
    ]);
  });

  for (const suspend of [false, true]) {
    it(`A ${suspend ? 'suspended registration' : 'registration'} has at most ten series, whatever its problems`, () => {
      registrations.put(registration(conditionsIll, { suspend, revokedKeyIDs: ['kid-4'] }));
      keyStates.forEach((state, index) => keys.put(key(index + 1, state)));
      expect(ofCanvas().length).to.equal(10);
      expect(new Set(ofCanvas().map((line) => line.split(' ')[0])).size, 'distinct series').to.equal(10);
      expect(ofCanvas()[0]).to.equal(`lti_registration_ready{${of}} 0`);
    });
  }

  it('Each condition that needs attention has one series, with its status as a number and its reason', () => {
    registrations.put(
      registration([
        condition('Ready', 'False', 'NotServedByAllReplicas'),
        condition('Published', 'Unknown', 'NotServedByAllReplicas'),
        condition('KeyMaterialAvailable', 'False', 'LedgerMissing'),
        condition('ActionRequired', 'True', 'AcknowledgementRequired'),
        condition('RevocationEffective', 'True', 'RevocationEffective'),
        condition('Reconciling', 'True', 'GeneratingKey'),
        condition('Stalled', 'True', 'LedgerMissing'),
        condition('ForeignCondition', 'True', 'Other'),
      ]),
    );
    expect(ofCanvas().filter((line) => line.startsWith('lti_registration_condition'))).to.deep.equal([
      `lti_registration_condition{${of},type="Published",reason="NotServedByAllReplicas"} -1`,
      `lti_registration_condition{${of},type="KeyMaterialAvailable",reason="LedgerMissing"} 0`,
      `lti_registration_condition{${of},type="ActionRequired",reason="AcknowledgementRequired"} 1`,
      `lti_registration_condition{${of},type="Stalled",reason="LedgerMissing"} 1`,
    ]);
  });

  it('A registration without a status is not ready, and has the series of its spec', () => {
    registrations.put(anLtiRegistration());
    expect(ofCanvas()).to.deep.equal([
      `lti_registration_ready{${of}} 0`,
      `lti_rotate_after_seconds{${of}} 7776000`,
      `lti_registration_last_fetch_timestamp_seconds{${of}} 0`,
    ]);
  });

  it('The last fetch is reported, and 0 before the first, except for keys that are pasted at the platform', () => {
    const object = registration();
    const lastFetch = (): readonly string[] => ofCanvas().filter((line) => line.includes('last_fetch'));
    registrations.put({ ...object, status: { ...object.status, lastFetchTime: '2026-01-02T00:00:00Z' } });
    expect(lastFetch()).to.deep.equal([`lti_registration_last_fetch_timestamp_seconds{${of}} 1767312000`]);
    registrations.put(registration(conditionsWell, { keyDistribution: 'Manual' }));
    expect(lastFetch()).to.deep.equal([]);
  });

  it('A suspended registration is reported as suspended, without a next rotation', () => {
    registrations.put(registration(conditionsWell, { suspend: true }));
    expect(ofCanvas()).to.include(`lti_registration_suspended{${of}} 1`);
    expect(ofCanvas().join()).not.to.include('lti_next_rotation');
  });

  it('An invalid duration or date has no series; the other series stay', () => {
    const object = registration(conditionsWell, { rotateAfter: '0.5d' });
    const status = { ...object.status, nextRotationTime: 'tomorrow' };
    registrations.put({ ...object, status });
    const names = ofCanvas().map((line) => line.split('{')[0]);
    expect(names).to.include('lti_registration_ready').and.not.to.include('lti_rotate_after_seconds');
    expect(names).not.to.include('lti_next_rotation_timestamp_seconds');
  });

  it('A revocation is reported as not effective while its key is shown as published, whatever the status says', () => {
    const series = `lti_registration_condition{${of},type="RevocationEffective",reason="RevokedKeyStillServed"} 0`;
    for (const conditions of [[], conditionsWell, [condition('RevocationEffective', 'Unknown', 'RevocationPending')]]) {
      registrations.put(registration(conditions, { revokedKeyIDs: ['kid-1'] }));
      for (const state of ['Next', 'Active', 'Retiring'] as const) {
        keys.put(key(1, state));
        expect(ofCanvas().filter((line) => line.includes('RevocationEffective'))).to.deep.equal([series]);
      }
      keys.put(key(1, 'Revoked'));
      expect(ofCanvas()).not.to.include(series);
    }
  });

  it('A registration that is gone is reported as orphaned while its keys are published, once its namespace has been read', () => {
    for (const [revision, state] of [
      [1, 'Retired'],
      [2, 'Retiring'],
      [3, 'Active'],
      [4, undefined],
    ] as const) {
      keys.put(key(revision, state));
    }
    keys.put(key(1, 'Revoked', 'moodle'));
    const orphaned = (): readonly string[] => scraped().filter((line) => line.startsWith('lti_orphaned_keys'));
    expect(orphaned()).to.deep.equal([`lti_orphaned_keys{${of}} 2`]);
    synced = false;
    expect(orphaned()).to.deep.equal([]);
    synced = true;
    registrations.put(registration());
    expect(orphaned()).to.deep.equal([]);
  });

  it('The metrics of registrations are valid Prometheus text, with labels escaped as by prom-client', async () => {
    const reason = 'a "b" \\ c\nd';
    registrations.put(registration([condition('Stalled', 'True', reason)]));
    const registry = new Registry();
    const { Gauge } = await import('prom-client');
    new Gauge({ name: 'x', help: 'h', labelNames: ['reason'], registers: [registry] }).set({ reason }, 1);
    const [, expected] = /\{(.*)\} 1$/m.exec(await registry.metrics()) ?? [];
    expect(ofCanvas().find((line) => line.includes('type="Stalled"'))).to.include(expected);
  });
});
