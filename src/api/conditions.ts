/**
 * Condition types and reasons are API: people and programs match on them, events and metrics reuse the reasons.
 * docs/conditions.md is held against these tables by test/docs.test.ts.
 */

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
    true: 'A person has to do something at the platform; the message says what.',
    false: 'Nobody has to do anything.',
  },
  RevocationEffective: {
    true: 'The platform no longer accepts the key that was revoked last. Present while a revoked key is on record.',
    false:
      'The platform may still accept the key that was revoked last; the message says until when, or (Unknown) what ends it.',
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
    true: 'The registration was deleted under deletionPolicy Retain; the key stays published until it returns.',
    false: 'The registration exists.',
  },
  Foreign: {
    true: 'No ledger knows this key. It is not published; delete the object.',
    false: 'The ledger of the registration has this key.',
  },
} as const satisfies Record<string, ConditionMeaning>;

export type RegistrationConditionType = keyof typeof registrationConditions;
export type KeyConditionType = keyof typeof keyConditions;

/** Every reason that conditions carry, with its meaning. Reasons of key-encryption keys and sealing come from src/crypto. */
export const reasons = {
  KeySigns: 'A key signs and is served.',
  Served: 'Every ready replica serves it.',
  KeysOpen: 'Every sealed key opens.',
  NothingToDo: 'No action is needed.',
  Settled: 'Nothing is under way.',
  NoObstacle: 'Nothing stands in the way of rotation.',
  Suspended: 'spec.suspend is set: no rotation starts and nothing retires.',
  NoSigningKey: 'No key signs yet.',
  NotServed: 'A ready replica does not serve the key, or there is no ready replica.',
  NotDelivered: 'The delivery Secret does not hold the signing key yet.',
  WaitingForPublication: 'A new key waits to be served by every ready replica.',
  AcknowledgementRequired: 'The key has to be pasted at the platform and acknowledged in spec.acknowledgedKeyID.',
  DeliverySecretTaken: 'spec.delivery.secretName names a Secret that is not the operator’s; it is left alone.',
  DeliveryRecipientInvalid: 'spec.delivery.recipient is not a usable public key; the delivery Secret is left as it is.',
  DeliveryRefused: 'The API server refuses to have a delivery Secret written or deleted; the tool keeps what it has.',
  ActivationDelayTooShort: 'spec.activationDelay is under its floor.',
  OverlapTooShort: 'spec.overlap is under its floor.',
  RotationTooFrequent: 'spec.rotateAfter leaves no room for activationDelay and overlap.',
  RotationWindowInvalid: 'An entry of spec.rotationWindows cannot be read.',
  RotationWindowNeverOpens: 'An entry of spec.rotationWindows never opens.',
  RevocationEffective: 'The platform no longer accepts the revoked key.',
  RevokedKeyMayBeAccepted: 'The platform may go on with a key set it fetched before the revocation.',
  ClockSkewed: 'The clock of the operator and that of the API server differ too much to trust times.',
  LedgerMissing: 'The ledger Secret is gone although keys were made.',
  LedgerCorrupt: 'The ledger Secret was emptied, truncated or edited.',
  LedgerMismatch: 'The ledger Secret belongs to another registration.',
  LedgerFormatUnknown: 'The ledger was written by a newer release.',
  LedgerRolledBack: 'The ledger is older than what was already done from it.',
  LedgerSecretTaken: 'A Secret that is not a ledger has the ledger’s name.',
  SealedKeyMissing: 'The ledger has no sealed private key for a key that needs one.',
  ImportSecretMissing: 'The Secret that spec.import names does not exist.',
  ImportSecretForbidden: 'The API server does not let the operator read the Secret that spec.import names.',
  ImportNotGranted: 'The Secret that spec.import names does not grant its import to this registration.',
  ImportKeyRefused: 'A key that spec.import names is missing, malformed or weak.',
  RegistrationDeleted: 'The registration was deleted and its keys are retained.',
  DeletionUnderWay: 'The registration was deleted and its keys are being removed.',
  NotInLedger: 'The ledger does not know the key.',
} as const;
