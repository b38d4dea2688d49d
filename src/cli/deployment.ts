import { operatorName } from '../api/names.ts';
import type { KubeClient } from '../kube/client.ts';
import type { KubeObject } from '../kube/objects.ts';

/** How `kubectl lti` finds the objects of an installation. */

const deployments = { group: 'apps', version: 'v1', kind: 'Deployment', plural: 'deployments' };
/** Every object of deploy/ has it, whatever kustomize or Helm made of the names. */
export const ofOperator = `app.kubernetes.io/name=${operatorName}`;

export function isOurs(labels: Readonly<Record<string, string>> | undefined): boolean {
  return labels?.['app.kubernetes.io/name'] === operatorName;
}

interface Container {
  readonly image?: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
}

export interface Deployment extends KubeObject {
  readonly spec: {
    readonly replicas?: number;
    readonly template: {
      readonly spec: { readonly serviceAccountName?: string; readonly containers: readonly Container[] };
    };
  };
  readonly status?: { readonly readyReplicas?: number };
}

/** The Deployment whose Pods run the controller; undefined if the namespace has none. */
export async function findDeployment(client: KubeClient, namespace: string): Promise<Deployment | undefined> {
  const { items } = await client.list<Deployment>(deployments, { namespace, labelSelector: ofOperator });
  return items.find((each) => controllerArgs(each) !== undefined);
}

/** The arguments of the controller, with the variables that its container defines. */
export function controllerArgs({ spec }: Deployment): readonly string[] | undefined {
  const container = spec.template.spec.containers.find(({ args = [] }) => args.includes('controller'));
  const variables = new Map(container?.env?.map(({ name, value }) => [name, value]));
  return container?.args?.map((arg) =>
    arg.replaceAll(/\$\((\w+)\)/g, (reference, name: string) => variables.get(name) ?? reference),
  );
}
