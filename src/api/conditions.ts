/** Condition types are API: programs match on them. docs/conditions.md is generated from these tables and reasons.ts. */

interface ConditionMeaning {
  readonly true: string;
  readonly false: string;
}

export const registrationConditions = {
  Ready: {
    true: 'A key signs, every ready replica serves it, and the delivery Secret, if one is configured, holds it.',
    false: 'The registration has no signing key, or its signing key is not published or not delivered.',
  },
  Published: {
    true: 'Every ready replica serves the signing key.',
    false: 'At least one ready replica does not serve the signing key, or no replica is ready.',
  },
  KeyMaterialAvailable: {
    true: 'The operator can read the ledger, decrypt every sealed private key in it, and seal new ones.',
    false:
      'The ledger, a sealed key or the KEK cannot be used. The operator creates and overwrites no key; published keys stay published.',
  },
  Registered: {
    true: 'The spec has the issuer, the client ID and the token endpoint of the platform.',
    false:
      'The message names the step of the registration at the platform that is missing. Keys are created, published, delivered and rotated without it.',
  },
  ActionRequired: {
    true: 'The registration needs the manual action that the message describes.',
    false: 'No action is required.',
  },
  RevocationEffective: {
    true: 'No replica serves a revoked key, and the platform no longer accepts one. Present while the ledger lists a revoked key.',
    false:
      'A revoked key is still served, or the platform may still accept it. The message says where, until when, or (Unknown) what ends it.',
  },
  Reconciling: {
    true: 'An operation is in progress, such as the publication of a new key.',
    false: 'No operation is in progress.',
  },
  Stalled: {
    true: 'Rotation is blocked until the fault in the message is fixed.',
    false: 'Nothing blocks rotation.',
  },
} as const satisfies Record<string, ConditionMeaning>;

export const keyConditions = {
  KeyMaterialAvailable: {
    true: 'The sealed private key can be decrypted and matches the public key.',
    false: 'The sealed private key cannot be decrypted or does not match the public key.',
  },
  Orphaned: {
    true: 'The registration was deleted. With deletionPolicy Retain, the key stays published until the registration is applied again; with Delete, the message says why the operator does not remove the key.',
    false: 'The registration exists.',
  },
} as const satisfies Record<string, ConditionMeaning>;

export type RegistrationConditionType = keyof typeof registrationConditions;
export type KeyConditionType = keyof typeof keyConditions;
