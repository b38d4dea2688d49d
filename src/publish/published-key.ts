import { isRegistrationName } from '../api/names.ts';
import { type KeyState, keyStates, publishedStates } from '../domain/key-state.ts';
import { narrowPublicJwk, type PublicJwk } from '../domain/public-jwk.ts';
import { rsaThumbprint } from '../lib/thumbprint.ts';

/** How long a published key stays in the documents after its LtiKey went away or lost its state. */
export const absenceGraceMs = 30_000;

export interface RegistrationRef {
  readonly namespace: string;
  readonly registration: string;
}

/** `namespace/registration` */
export function registrationKey({ namespace, registration }: RegistrationRef): string {
  return `${namespace}/${registration}`;
}

/** The part of an LtiKey that the publisher reads. */
export interface LtiKeyFacts {
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec: {
    readonly registrationRef: { readonly name: string };
    readonly revision: number;
    readonly publicJWK: unknown;
  };
  readonly status?: {
    readonly state?: string;
    readonly createdAt?: string;
    readonly revokedAt?: string;
  };
}

/** A key that an LtiKey shows: its owner, its state and its public half. */
export interface PublishedKey extends RegistrationRef {
  readonly revision: number;
  readonly state: KeyState;
  readonly publicJWK: PublicJwk;
  /** RFC 3339; set once the key is Revoked. */
  readonly revokedAt?: string;
  /** The key ID is not the thumbprint of the key, so another registration can choose the same ID. */
  readonly foreignKeyID?: boolean;
  /** RFC 3339; decides which of two keys with one foreign key ID was first. */
  readonly createdAt?: string;
}

/** The public half of an LtiKey, or the reason why the key cannot be published. */
export function publicHalf({ spec }: LtiKeyFacts): PublicJwk | string {
  // Checked again because an older CRD may be installed, and the name becomes part of a file name.
  if (!isRegistrationName(spec.registrationRef.name)) return 'spec.registrationRef.name is not a DNS name';
  return narrowPublicJwk(spec.publicJWK);
}

/** `undefined` while the LtiKey has no state. */
export function publishedKey({ metadata, spec, status }: LtiKeyFacts, publicJWK: PublicJwk): PublishedKey | undefined {
  if (!isState(status?.state)) return undefined;
  const { state, createdAt, revokedAt } = status;
  const foreign = publicJWK.kid !== rsaThumbprint(publicJWK);
  return {
    namespace: metadata.namespace ?? '',
    registration: spec.registrationRef.name,
    revision: spec.revision,
    state,
    publicJWK,
    ...(foreign && { foreignKeyID: true, ...(createdAt !== undefined && { createdAt }) }),
    ...(revokedAt !== undefined && { revokedAt }),
  };
}

/** Whether a change of an LtiKey leaves the documents as they are: one published state replaced another. */
export function staysPublished({ status: before }: LtiKeyFacts, { status: after }: LtiKeyFacts): boolean {
  return isPublished(before?.state) && isPublished(after?.state) && before?.revokedAt === after?.revokedAt;
}

function isPublished(state: string | undefined): boolean {
  return isState(state) && publishedStates.has(state);
}

function isState(state: string | undefined): state is KeyState {
  return keyStates.some((known) => known === state);
}
