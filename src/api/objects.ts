import type { ObjectMeta } from '../kube/objects.ts';
import type { LtiKeySpec, LtiKeyStatus } from './ltikey.gen.ts';
import type { LtiRegistrationSpec, LtiRegistrationStatus } from './ltiregistration.gen.ts';

/** One tool at one platform, as read from the API server: defaults are filled in (crds/ltiregistrations.yaml). */
export interface LtiRegistration {
  readonly apiVersion: 'ltikeys.dev/v1alpha1';
  readonly kind: 'LtiRegistration';
  readonly metadata: ObjectMeta;
  readonly spec: LtiRegistrationSpec;
  readonly status?: LtiRegistrationStatus;
}

/** The public half and the state of one key pair of a registration (crds/ltikeys.yaml). */
export interface LtiKey {
  readonly apiVersion: 'ltikeys.dev/v1alpha1';
  readonly kind: 'LtiKey';
  readonly metadata: ObjectMeta;
  readonly spec: LtiKeySpec;
  readonly status?: LtiKeyStatus;
}
