import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse, parseAllDocuments } from 'yaml';
import { gitopsHealth, type Checks, type Health } from '../../dev/gitops-checks/gitops-checks.ts';
import type { LtiRegistration } from '../../src/api/objects.ts';
import { decide } from '../../src/domain/decide.ts';
import { emptyLedger, type Ledger, type LedgerKey } from '../../src/domain/ledger.ts';
import { readRegistration } from '../../src/domain/registration.ts';
import type { Situation } from '../../src/domain/situation.ts';
import { aKey, aLedger, epoch } from '../builders/ledger.ts';
import { anLtiRegistration } from '../builders/registration.ts';
import { anObservation, aSituation, damaged } from '../builders/situation.ts';

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** A registration with the status that the operator writes in this situation. */
function registration(spec: Partial<LtiRegistration['spec']>, more: Partial<Situation> = {}): LtiRegistration {
  const object = anLtiRegistration(spec);
  const situation = aSituation({
    ...more,
    registration: { kind: 'present', object, registration: readRegistration(object) },
  });
  const { status } = decide(situation);
  if (status === undefined) throw new Error('the operator writes no status');
  return { ...object, status };
}

function withKeys(keys: readonly LedgerKey[], more: Partial<Ledger> = {}): Partial<Situation> {
  return { ledger: { kind: 'present', ledger: aLedger(keys, more) } };
}

const unseen: LtiRegistration = { ...anLtiRegistration(), status: { observedGeneration: -1 } };
const ready = registration({});
const active = aKey(1, 'Active');
const revoked = aKey(1, 'Revoked', { revokedAt: epoch, publishedAt: epoch, activatedAt: epoch });
const successor = aKey(2, 'Active');
const revoking = { revokedKeyIDs: [revoked.keyID] };

const cases: readonly (readonly [
  what: string,
  object: LtiRegistration,
  kstatus: string,
  flux: string,
  argo: string,
])[] = [
  ['that the operator has not seen', unseen, 'InProgress', 'InProgress', 'Progressing'],
  [
    'whose newest spec the operator has not seen',
    { ...ready, metadata: { ...ready.metadata, generation: 2 } },
    'InProgress',
    'InProgress',
    'Progressing',
  ],
  [
    'whose first key is being generated',
    registration({}, { ledger: { kind: 'present', ledger: emptyLedger('gradebook', 'canvas') } }),
    'InProgress',
    'InProgress',
    'Progressing',
  ],
  [
    'whose signing key no replica serves',
    registration({}, { observation: anObservation([]) }),
    'InProgress',
    'InProgress',
    'Progressing',
  ],
  [
    'whose delivery Secret does not have the key yet',
    registration({ delivery: { secretName: 'signing' } }),
    'InProgress',
    'InProgress',
    'Progressing',
  ],
  ['that is ready', ready, 'Current', 'Current', 'Healthy'],
  [
    'whose next key waits for its activation',
    registration({}, withKeys([active, aKey(2, 'Next', { publishedAt: epoch })])),
    'Current',
    'Current',
    'Healthy',
  ],
  ['that is suspended', registration({ suspend: true }), 'Current', 'Current', 'Suspended'],
  [
    'whose next key waits until it is pasted at the platform',
    registration({ keyDistribution: 'Manual' }, withKeys([active, aKey(2, 'Next', { publishedAt: epoch })])),
    'Current',
    'Current',
    'Suspended',
  ],
  ['with an overlap that is too short', registration({ overlap: '1s' }), 'Failed', 'Failed', 'Degraded'],
  [
    'whose sealed key is damaged while its key signs',
    registration({}, { keyMaterial: new Map([[active.keyID, damaged]]) }),
    'Failed',
    'Failed',
    'Degraded',
  ],
  [
    'whose ledger is lost',
    registration({}, { ledger: { kind: 'faulty', fault: { reason: 'LedgerCorrupt', message: 'it is empty' } } }),
    'Failed',
    'Failed',
    'Degraded',
  ],
  [
    'with an entry of revokedKeyIDs that names no key',
    registration({ revokedKeyIDs: ['typing-error'] }),
    'Current',
    'Failed',
    'Degraded',
  ],
  [
    'whose revoked key a replica still serves',
    registration(revoking, {
      ...withKeys([revoked, successor]),
      observation: anObservation([successor.keyID], { stillServed: new Map([[revoked.keyID, 'jwks-1 serves it']]) }),
    }),
    'Current',
    'InProgress',
    'Progressing',
  ],
  [
    'whose revoked key no replica serves, but platforms may still accept',
    registration(revoking, {
      ...withKeys([{ ...revoked, absentAt: epoch }, successor]),
      observation: anObservation([successor.keyID], {
        absentKeyIDs: new Set([revoked.keyID]),
        cacheLifetime: 3_600_000,
      }),
    }),
    'Current',
    'Current',
    'Healthy',
  ],
  [
    'that is being deleted',
    { ...ready, metadata: { ...ready.metadata, deletionTimestamp: '2026-03-02T00:00:00Z' } },
    'Terminating',
    'Current',
    'Progressing',
  ],
];

/** The script and the expressions of deploy/gitops. */
function shipped(): Omit<Checks, 'objects'> {
  const configMap: { data: Record<string, string> } = parse(read('deploy/gitops/argocd/argocd-cm.yaml'));
  const lua = configMap.data['resource.customizations.health.ltikeys.dev_LtiRegistration'] ?? '';
  const flux: { kind: string; spec: { healthCheckExprs?: Checks['flux'][] } }[] = parseAllDocuments(
    read('deploy/gitops/flux/registrations.yaml'),
  ).map((document) => document.toJS());
  const [expressions] = flux.flatMap(({ spec }) => spec.healthCheckExprs ?? []);
  if (expressions === undefined) throw new Error('the Flux Kustomization has no healthCheckExprs');
  return { lua, flux: expressions };
}

/** With the libraries of the tools themselves: see dev/gitops-checks/main.go. */
describe('The health of a registration in GitOps tools', function () {
  // Go builds the program once.
  this.timeout(600_000);
  let health: readonly Health[];
  before(async () => {
    health = await gitopsHealth({ ...shipped(), objects: cases.map(([, object]) => object) });
  });

  for (const [index, [what, object, kstatus, flux, argo]] of cases.entries()) {
    it(`A registration ${what} is ${kstatus} for kstatus, ${flux} for Flux and ${argo} for Argo CD`, () => {
      const found = health[index];
      expect([found?.kstatus.status, found?.flux, found?.argo.status]).to.deep.equal([kstatus, flux, argo]);
      expect(found?.argo.message, JSON.stringify(object.status)).to.not.equal('');
    });
  }

  it('The cases have every phase that a status can have', () => {
    const crd = parse(read('crds/ltiregistrations.yaml'));
    const { enum: phases } = crd.spec.versions[0].schema.openAPIV3Schema.properties.status.properties.phase;
    const seen = cases.map(([, { status }]) => status?.phase).filter((phase) => phase !== undefined);
    expect(new Set(seen)).to.deep.equal(new Set(phases));
  });
});
