/** The names that other software uses: API group, kinds, Secret names and types, annotations, paths. */

export const apiGroup = 'ltikeys.dev';
export const apiVersion = `${apiGroup}/v1alpha1`;

export const ltiRegistrations = {
  group: apiGroup,
  version: 'v1alpha1',
  kind: 'LtiRegistration',
  plural: 'ltiregistrations',
};
export const ltiKeys = { group: apiGroup, version: 'v1alpha1', kind: 'LtiKey', plural: 'ltikeys' };
export const customResourceDefinitions = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
};
/** The CustomResourceDefinition of registrations. */
export const registrationDefinitionName = `${ltiRegistrations.plural}.${apiGroup}`;
export const secrets = { group: '', version: 'v1', kind: 'Secret', plural: 'secrets' };
export const leases = {
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  plural: 'leases',
};
export const events = { group: 'events.k8s.io', version: 'v1', kind: 'Event', plural: 'events' };
export const endpointSlices = {
  group: 'discovery.k8s.io',
  version: 'v1',
  kind: 'EndpointSlice',
  plural: 'endpointslices',
};

/** The name of the operator: Lease, Service account, reporting controller, user agent. */
export const operatorName = 'lti-key-operator';
/** The Service whose endpoints are checked for published keys. */
export const jwksServiceName = 'lti-key-operator-jwks';

/** The Secret in the operator's namespace with a canary for every key-encryption key. */
export const canarySecretName = `${operatorName}-kek-canaries`;

export const ledgerSecretType = `${apiGroup}/ledger`;
export const deliverySecretType = `${apiGroup}/signing-key`;
/** Secret names with this ending are ledgers; a delivery Secret may not have it. */
export const ledgerSuffix = '-lti-keys';
export const ledgerEntry = 'ledger.json';

/** Whether the API server accepts the name for a registration, as the CRD says. */
export function isRegistrationName(name: unknown): boolean {
  return typeof name === 'string' && name.length <= 63 && /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name);
}

/** Names the registration on LtiKeys, ledgers and delivery Secrets. */
export const registrationLabel = `${apiGroup}/registration`;
/** On a delivery Secret: the ID of the key that it holds; empty if it holds none. */
export const deliveryKeyIDAnnotation = `${apiGroup}/key-id`;
/** On a delivery Secret: the keys of the labels and annotations that come from spec.delivery.metadata. */
export const deliveryMetadataAnnotation = `${apiGroup}/delivery-metadata`;
/** On a Secret with the deliveries of several registrations: the name of the bundle. Also a label. */
export const bundleAnnotation = `${apiGroup}/bundle`;
export const rotateRequestedAtAnnotation = `${apiGroup}/rotate-requested-at`;
/** On a registration: the IDs of revoked keys that, as a user found, the platform no longer accepts; separated by spaces. */
export const acknowledgedRevocationsAnnotation = `${apiGroup}/acknowledged-revocations`;

/** On a Secret: the names of the registrations that may import a key from it, separated by commas. */
export const importGrantAnnotation = `${apiGroup}/import-granted-to`;

export function ledgerSecretName(registration: string): string {
  return `${registration}${ledgerSuffix}`;
}

/** On a bundle: the annotations that a delivery Secret of the registration would have, as JSON. */
export function bundleMemberAnnotation(registration: string): string {
  return `bundle.${apiGroup}/${registration}`;
}

export function ltiKeyName(registration: string, revision: number): string {
  return `${registration}-${revision}`;
}

/** Paths of the documents. They never change: a platform has them configured. */
export const allKeysPath = '/.well-known/jwks.json';

export function namespacePath(namespace: string): string {
  return `/namespaces/${namespace}/jwks.json`;
}

export function registrationPath(namespace: string, registration: string): string {
  return `/registrations/${namespace}/${registration}/jwks.json`;
}
