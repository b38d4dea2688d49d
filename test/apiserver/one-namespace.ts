import { join } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import { operatorName } from '../../src/api/names.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import { controlPlane, createNamespace } from './control-plane-fixture.ts';
import { operatorKubeconfig } from './operator.ts';

const deployFolder = join(import.meta.dirname, '../../deploy');
const rights = new Set(['ServiceAccount', 'Role', 'RoleBinding', 'ClusterRole', 'ClusterRoleBinding']);

/**
 * An operator for one namespace, with the account and the rights that deploy/ and deploy/one-namespace give it together, in a
 * namespace of its own.
 */
export class OneNamespace {
  readonly namespace: string;
  readonly kubeconfig: string;
  readonly #canaryBinding: KubeObject;
  readonly #binding: KubeObject;

  private constructor(namespace: string, kubeconfig: string, binding: KubeObject, canaryBinding: KubeObject) {
    this.namespace = namespace;
    this.kubeconfig = kubeconfig;
    this.#binding = binding;
    this.#canaryBinding = canaryBinding;
  }

  static async for(tenantNamespace: string): Promise<OneNamespace> {
    await operatorKubeconfig();
    const namespace = await createNamespace('one-operator');
    const objects = await rendered(namespace, tenantNamespace);
    // The ClusterRole is the same for every installation, and is there already.
    const own = objects.filter(({ kind }) => kind !== 'ClusterRole');
    await apply(own);
    const kubeconfig = await controlPlane().serviceAccountKubeconfig(namespace, operatorName);
    const bound = (where: string): KubeObject => {
      const found = own.find(({ kind, metadata }) => kind === 'RoleBinding' && metadata.namespace === where);
      if (!found) throw new Error(`deploy/one-namespace binds no Role in namespace ${where}`);
      return found;
    };
    return new OneNamespace(namespace, kubeconfig, bound(tenantNamespace), bound(namespace));
  }

  /** The same rights in one more namespace. */
  alsoFor(namespace: string): Promise<void> {
    const { metadata } = this.#binding;
    return apply([{ ...this.#binding, metadata: { ...metadata, namespace } }]);
  }

  /** As when the namespace, or whoever administers it, takes the operator's rights back. */
  async dismissFrom(namespace: string): Promise<void> {
    await kubectl(['delete', 'rolebinding', this.#binding.metadata.name, `--namespace=${namespace}`]);
  }

  async withholdCanaries(): Promise<void> {
    await kubectl(['delete', 'rolebinding', this.#canaryBinding.metadata.name, `--namespace=${this.namespace}`]);
  }

  /** In the namespace of the tenant all other rights stay. */
  async withholdSecrets(): Promise<void> {
    const { name, namespace } = this.#binding.metadata;
    const all = ['get', 'list', 'watch', 'create', 'update', 'delete'];
    await apply([
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'Role',
        metadata: { name: 'no-secrets', namespace: namespace! },
        rules: [
          { apiGroups: ['ltikeys.dev'], resources: ['*'], verbs: all },
          { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: all },
        ],
      },
    ]);
    const subject = `--serviceaccount=${this.namespace}:${operatorName}`;
    await kubectl(['create', 'rolebinding', 'no-secrets', '--role=no-secrets', subject, `--namespace=${namespace}`]);
    await kubectl(['delete', 'rolebinding', name, `--namespace=${namespace}`]);
  }

  grantSecrets(): Promise<void> {
    return apply([this.#binding]);
  }

  grantCanaries(): Promise<void> {
    return apply([this.#canaryBinding]);
  }
}

/** The RBAC of both together, with the two namespaces in place of those that the files name. */
async function rendered(operatorNamespace: string, tenantNamespace: string): Promise<readonly KubeObject[]> {
  const text = await kubectl([
    'kustomize',
    '--load-restrictor=LoadRestrictionsNone',
    join(deployFolder, '../test/apiserver/one-namespace'),
  ]);
  return parseAllDocuments(text)
    .map((document): KubeObject => document.toJS())
    .filter(({ kind }) => rights.has(kind ?? ''))
    .map((object) =>
      JSON.parse(
        JSON.stringify(object)
          .replaceAll(`"namespace":"${operatorName}"`, `"namespace":"${operatorNamespace}"`)
          .replaceAll('"namespace":"gradebook"', `"namespace":"${tenantNamespace}"`),
      ),
    );
}

async function apply(objects: readonly (KubeObject & { readonly rules?: readonly object[] })[]): Promise<void> {
  await kubectl(['apply', '--filename', '-'], objects.map((object) => stringify(object)).join('---\n'));
}

async function kubectl(args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await controlPlane().kubectlRun(args, input === undefined ? {} : { input });
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stderr.trim()}`);
  return stdout;
}
