import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseAllDocuments } from 'yaml';
import type { Deployment } from '../../../src/cli/deployment.ts';
import {
  checkDeployment,
  checkVersions,
  serviceName,
  watchedNamespaces,
} from '../../../src/cli/doctor/installation.ts';
import { expectedPolicies } from '../../../src/cli/doctor/policies.ts';
import { grantsInCluster, grantsInOwnNamespace, grantsInWatchedNamespaces } from '../../../src/cli/doctor/rights.ts';
import { version } from '../../../src/version.ts';

const deploy = join(import.meta.dirname, '../../../deploy');

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly rules?: readonly Rule[];
}

function manifests(file: string): readonly Manifest[] {
  return parseAllDocuments(readFileSync(join(deploy, file), 'utf8')).map((document): Manifest => document.toJS());
}

interface Given {
  readonly args?: readonly string[];
  readonly image?: string;
  readonly replicas?: number;
  readonly ready?: number;
}

function deployment({ args = [], image = `lti-key-operator:${version}`, replicas = 2, ready = 2 }: Given): Deployment {
  const env = [{ name: 'JWKS_SERVICE', value: 'blue-jwks' }];
  const containers = [{ image, args: ['controller', ...args], env }];
  return {
    metadata: { name: 'lti-key-operator' },
    spec: { replicas, template: { spec: { containers } } },
    status: { readyReplicas: ready },
  };
}

describe('kubectl lti doctor', () => {
  it('doctor checks exactly the rights that deploy/rbac.yaml grants to the operator', () => {
    for (const [kind, name, grants] of [
      ['ClusterRole', 'lti-key-operator', grantsInWatchedNamespaces],
      ['ClusterRole', 'lti-key-operator-definition', grantsInCluster],
      ['Role', 'lti-key-operator', grantsInOwnNamespace],
    ] as const) {
      const role = manifests('rbac.yaml').find((each) => each.kind === kind && each.metadata.name === name);
      const rules = role?.rules ?? [];
      const granted = rules.map(({ apiGroups: [group], resources: [resource], resourceNames = [], verbs }) => ({
        group,
        resource,
        verbs,
        ...(resourceNames[0] === undefined ? {} : { name: resourceNames[0] }),
      }));
      expect(granted, kind).to.deep.equal(grants);
    }
  });

  it('doctor checks for exactly the admission policies of deploy/', () => {
    const policies = manifests('admission-policy.yaml').filter(({ kind }) => kind === 'ValidatingAdmissionPolicy');
    const names = policies.map(({ metadata }) => metadata.name);
    expect(names).to.deep.equal(Object.keys(expectedPolicies).map((ending) => `lti-key-operator${ending}`));
  });

  it('doctor reads the namespaces and the Service from the arguments of the controller', () => {
    const args = ['--namespace=a', '--namespace', 'b', '--jwks-service=keys/other-jwks'];
    expect(watchedNamespaces(deployment({ args: args }))).to.deep.equal(['a', 'b']);
    expect(serviceName(deployment({ args: args }))).to.equal('other-jwks');
    expect(serviceName(deployment({ args: ['--jwks-service=$(JWKS_SERVICE)'] }))).to.equal('blue-jwks');
    expect(serviceName(deployment({ args: ['--jwks-service=$(OTHER)'] }))).to.equal('lti-key-operator-jwks');
    expect(watchedNamespaces(undefined)).to.deep.equal([]);
  });

  for (const [what, given, result] of [
    ['passes if every replica is ready', {}, 'passed'],
    ['warns if some replicas are not ready', { ready: 1 }, 'warning'],
    ['fails if no replica is ready', { ready: 0 }, 'failed'],
    ['fails if the Deployment is scaled down', { replicas: 0, ready: 0 }, 'failed'],
  ] as const) {
    it(`The check of the Deployment ${what}`, async () => {
      expect((await checkDeployment('keys', deployment(given))).result).to.equal(result);
    });
  }

  for (const [image, result] of [
    [`registry.example:5000/lti-key-operator:v${version}`, 'passed'],
    [`lti-key-operator:${version}@sha256:abc`, 'passed'],
    ['lti-key-operator:9.9.9', 'warning'],
    ['registry.example:5000/lti-key-operator', 'unknown'],
    ['lti-key-operator@sha256:abc', 'unknown'],
  ] as const) {
    it(`The check of versions has the result ${result} for the image ${image.replace(version, 'VERSION')}`, async () => {
      expect((await checkVersions(deployment({ image }))).result).to.equal(result);
    });
  }
});
