/** Condition types are API: people and programs match on them. docs/conditions.md is generated from this table and reasons.ts. */

interface ConditionMeaning {
  readonly true: string;
  readonly false: string;
}

export const registrationConditions = {
  Ready: {
    true: 'One key signs, every ready replica serves it, and the delivery Secret, where one is asked for, holds it.',
    false: 'No key can be used yet, or the one that signs is not served or not delivered.',
  },
  Published: {
    true: 'Every ready replica was observed serving the signing key.',
    false: 'Some ready replica, or all of them, was observed without the signing key.',
  },
  KeyMaterialAvailable: {
    true: 'The ledger was read, every sealed private key in it opens, and new ones can be sealed.',
    false: 'The ledger or a sealed key cannot be used. Nothing is minted or overwritten; publishing goes on.',
  },
  ActionRequired: {
    true: 'A person has to do something; the message says what.',
    false: 'No action is required.',
  },
  RevocationEffective: {
    true: 'No replica serves any revoked key, and the platform no longer accepts them. Present while a revoked key is on record.',
    false:
      'Somebody still serves a revoked key, or the platform may still accept it; the message says who, until when, or (Unknown) what ends it.',
  },
  Reconciling: {
    true: 'The operator is about to reach a state that it waits for, such as the publication of a new key.',
    false: 'Nothing is under way but what the schedule brings.',
  },
  Stalled: {
    true: 'Rotation cannot go on until somebody changes something; the reason and message say what.',
    false: 'Nothing stands in the way.',
  },
} as const satisfies Record<string, ConditionMeaning>;

export const keyConditions = {
  KeyMaterialAvailable: {
    true: 'The sealed private key opens and matches the public key.',
    false: 'The sealed private key cannot be opened or is not the one it should be.',
  },
  Orphaned: {
    true: 'The registration was deleted. Under deletionPolicy Retain the key stays published until it returns; under Delete the message says why the operator cannot remove it.',
    false: 'The registration exists.',
  },
} as const satisfies Record<string, ConditionMeaning>;

export type RegistrationConditionType = keyof typeof registrationConditions;
export type KeyConditionType = keyof typeof keyConditions;
