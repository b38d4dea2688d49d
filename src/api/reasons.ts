/**
 * Every reason that a condition, an event or a metric carries, with its meaning and its remedy. Reasons are API: people and
 * programs match on them. docs/conditions.md is generated from this table (`npm run generate`), and a reason that is not
 * here does not compile.
 */
export interface Reason {
  readonly meaning: string;
  /** What a person does about it; empty where nothing is required. Markdown; links are relative to docs/. */
  readonly remedy: string;
}

const reason = (meaning: string, remedy = ''): Reason => ({ meaning, remedy });
const restore = 'Restore the ledger Secret: see [recovery.md](recovery.md#the-ledger-is-lost).';

/** Of the conditions of LtiRegistrations and LtiKeys. */
export const conditionReasons = {
  SigningKeyReady: reason('A key signs and is served.'),
  Served: reason('Every ready replica serves it.'),
  KeysDecryptable: reason('Every sealed key opens.'),
  NoActionRequired: reason('No action is required.'),
  UpToDate: reason('Nothing is under way.'),
  NotStalled: reason('Nothing stands in the way of rotation.'),
  Suspended: reason(
    'spec.suspend is set: no rotation starts and nothing retires.',
    'Set `spec.suspend: false` to go on.',
  ),
  NoSigningKey: reason(
    'No key signs yet.',
    'Wait a moment; if it stays, `Stalled` or `Published` says what is in the way.',
  ),
  NotServed: reason(
    'A ready replica does not serve the key, or there is no ready replica.',
    'See [LTIActiveKeyNotPublished](runbooks.md#ltiactivekeynotpublished); the message names the replica.',
  ),
  NotDelivered: reason(
    'The delivery Secret does not hold the signing key yet.',
    'Wait a moment; if it stays, `Stalled` names the obstacle.',
  ),
  GeneratingKey: reason('A key pair is being generated.', 'Wait; a pair of 4096 bits takes seconds.'),
  WaitingForPublication: reason(
    'A new key waits until every ready replica serves it.',
    'Wait; the message names the replica that lacks the key.',
  ),
  WaitingForActivation: reason(
    'A new key is published and signs when its activation delay is over.',
    'Wait; the message says until when.',
  ),
  AcknowledgementRequired: reason(
    'A person has to paste the key at the platform and acknowledge it in spec.acknowledgedKeyID.',
    'Paste the public key at the platform, then set `spec.acknowledgedKeyID`.',
  ),
  UnknownRevokedKeyID: reason(
    'An entry of spec.revokedKeyIDs names no key of this registration, so nothing was revoked for it.',
    'Copy the key ID from the KEY ID column of `kubectl get ltikeys`, or remove the entry.',
  ),
  WriteRefused: reason(
    'The API server refuses a write, by rights, quota, an admission policy or because the object is immutable. The operator retries.',
    'The message names the object and has the server’s reason: change the quota, policy, rights or object that it names.',
  ),
  SpecInvalid: reason(
    'The spec has a value that the operator cannot use although the API server accepted it.',
    'Correct the field that the message names.',
  ),
  DeliverySecretConflict: reason(
    'spec.delivery.secretName names a Secret that is not the operator’s; the operator leaves it alone.',
    'Choose another `spec.delivery.secretName`, or delete that Secret.',
  ),
  DeliveryRecipientInvalid: reason(
    'spec.delivery.recipient is not a usable public key. The tool keeps what it has, unless that was revoked.',
    'Correct `spec.delivery.recipient`; the message says what is wrong with it.',
  ),
  DeliveryUnreadable: reason(
    'The API server does not let the operator read the delivery Secret.',
    'The message has the server’s reason: see [rbac.yaml](../deploy/rbac.yaml) for the rights that the operator needs.',
  ),
  ActivationDelayTooShort: reason(
    'spec.activationDelay is under its floor.',
    'Raise `spec.activationDelay` to the floor in the message.',
  ),
  OverlapTooShort: reason('spec.overlap is under its floor.', 'Raise `spec.overlap` to the floor in the message.'),
  RotationTooFrequent: reason(
    'spec.rotateAfter leaves no room for activationDelay and overlap.',
    'Raise `spec.rotateAfter`, or shorten the other two.',
  ),
  RotationWindowInvalid: reason(
    'The operator cannot read an entry of spec.rotationWindows.',
    'Correct the entry that the message names.',
  ),
  RotationWindowNeverOpens: reason(
    'An entry of spec.rotationWindows never opens.',
    'Correct the entry that the message names.',
  ),
  TooManyKeys: reason(
    'The registration has as many published keys as it may have, so the operator makes no new one.',
    'Shorten `spec.overlap`, or wait until a retiring key leaves.',
  ),
  RevocationEffective: reason('No replica serves the revoked key, and the platform no longer accepts it.'),
  RevocationPending: reason(
    'No replica serves the revoked key; the platform may go on with a key set that it fetched before.',
    'Have the platform forget the key if waiting takes too long; the message says how long.',
  ),
  StillServed: reason(
    'A replica or the public URL still serves the revoked key, or was not observed without it.',
    'See to the replica or the cache that the message names: restart it or purge it.',
  ),
  ClockSkewed: reason(
    'The clocks of the operator and of the API server differ too much to trust times.',
    'Repair time synchronization: see [LTIClockSkew](runbooks.md#lticlockskew).',
  ),
  IssuerChanged: reason(
    'The keys were made for another issuer, whose platform must not share them with this one.',
    'Remove the keys of the former registration first: see [recovery.md](recovery.md#another-issuer-under-the-same-name).',
  ),
  LedgerMissing: reason('The ledger Secret is gone although keys were made.', restore),
  LedgerUnreadable: reason(
    'The API server does not let the operator read the ledger Secret.',
    'The message has the server’s reason: see [rbac.yaml](../deploy/rbac.yaml) for the rights that the operator needs.',
  ),
  LedgerCorrupt: reason('The ledger Secret was emptied, truncated or edited.', restore),
  LedgerMismatch: reason(
    'The ledger Secret belongs to another registration.',
    'Restore both ledgers under their own names: see [recovery.md](recovery.md#the-ledger-is-lost).',
  ),
  LedgerFormatUnknown: reason(
    'A newer release wrote the ledger.',
    'Run the newer release again. Publishing goes on meanwhile.',
  ),
  LedgerRolledBack: reason(
    'The ledger is older than what the operator already did from it.',
    'Restore the newest copy: see [recovery.md](recovery.md#an-older-ledger-was-restored).',
  ),
  LedgerSecretConflict: reason('A Secret that is not a ledger has the ledger’s name.', 'Rename or delete that Secret.'),
  SealedKeyMissing: reason('The ledger has no sealed private key for a key that needs one.', restore),
  ImportSecretMissing: reason(
    'The Secret that spec.import names does not exist.',
    'Create the Secret, or take `spec.import` out.',
  ),
  ImportSecretForbidden: reason(
    'The API server does not let the operator read the Secret that spec.import names.',
    'The message has the server’s reason: grant the operator `get` on the Secret.',
  ),
  ImportNotGranted: reason(
    'The Secret that spec.import names does not grant its import to this registration.',
    'Put the grant that the message names on the Secret.',
  ),
  ImportKeyRefused: reason(
    'A key that spec.import names is missing, malformed or weak.',
    'Correct the key that the message names.',
  ),
  RegistrationDeleted: reason(
    'The registration was deleted and its keys are retained.',
    'Apply the registration again to go on with its keys, or [remove them](recovery.md#remove-a-retained-registration).',
  ),
} as const satisfies Record<string, Reason>;

/** Of key-encryption keys; also values of the label `reason` of `lti_kek_error_info`. */
export const kekReasons = {
  KEKDirectoryMissing: reason(
    'The directory is absent or cannot be listed.',
    'Mount the directory, or name another with `--kek-dir`.',
  ),
  KEKPrimaryMissing: reason(
    'No file says which KEK seals, or it does not hold the name of one.',
    'Write the ID of the KEK that seals into the file `primary`.',
  ),
  KEKMissing: reason(
    'The KEK that `primary` or a sealed key names has no file.',
    'Put the same file back from your backup. Never make a new key under its name: it opens nothing that was sealed before.',
  ),
  KEKUnreadable: reason(
    'Its file is there but cannot be read.',
    'Let the user that the operator runs as (65532) read the file.',
  ),
  KEKMalformed: reason(
    'Its file does not hold a 256-bit key in base64, or has a name that cannot be an ID.',
    'Put the same file back from your backup; if it has never sealed anything, write what `openssl rand -base64 32` prints.',
  ),
  KEKChanged: reason(
    'It holds other bytes than those that were first used under its name.',
    'Put the former key back, and give the new one a name of its own. Leave the ledgers as they are.',
  ),
  KEKUnverified: reason(
    'The operator cannot read or write the Secret of KEK canaries, so it cannot verify the KEK and seals nothing under it.',
    'The message names the Secret and has the server’s reason: see [canaries](guides/rotate-a-kek.md#canaries).',
  ),
  KMSUnavailable: reason(
    'The KMS plugin’s socket is absent, nobody listens, or no answer comes in time.',
    'Start the plugin, and mount its socket into the controller.',
  ),
  KMSUnhealthy: reason('The plugin says that it is not healthy.', 'Ask the plugin: its own log says why.'),
  KMSRefused: reason(
    'The plugin answers with an error, such as a key it may not use or cannot decrypt with.',
    'Grant the plugin the use of its key; its own log says why.',
  ),
  KMSMalformed: reason('The plugin’s answers break the KMS v2 API.', 'Use a plugin of the KMS v2 API.'),
} as const satisfies Record<string, Reason>;

/** Of sealed private keys. */
export const sealReasons = {
  SealMalformed: reason('Not a sealed key of the one shape that the operator writes.', restore),
  SealVersionUnknown: reason(
    'A format version of another release.',
    'Run the newer release again, or restore the ledger.',
  ),
  SealContextMismatch: reason(
    'Sealed for another namespace, registration or key ID.',
    'The ledger was copied from another registration: [restore](recovery.md#the-ledger-is-lost) this one’s own.',
  ),
  SealKEKMissing: reason(
    'Its KEK cannot be used; the message says which and why.',
    'Put the KEK back: see [recovery.md](recovery.md#a-key-encryption-key-is-lost).',
  ),
  SealTampered: reason(
    'Changed since it was sealed, or its KEK has other bytes.',
    'If the message names the KEK, put its former bytes back; else restore the ledger: see [recovery.md](recovery.md#the-ledger-is-lost).',
  ),
  SealKeyMismatch: reason('It opens, and holds another key than the one it is filed as.', restore),
} as const satisfies Record<string, Reason>;

/** Of the events that tell of a key's life; the others repeat the reason of a condition. */
export const eventReasons = {
  KeyCreated: reason('A next key was made and is being published; it signs later.'),
  KeyActivated: reason('A key signs from now on.'),
  KeyRetired: reason('The overlap of a key is over; its private half is destroyed.'),
  KeyRevoked: reason('A key was revoked, or is about to leave.'),
  KeyDiscarded: reason('A next key gave way before it signed.'),
  RotationRequested: reason('A key that was on its way already answers a request to rotate.'),
} as const satisfies Record<string, Reason>;

export type KekReason = keyof typeof kekReasons;
export type SealReason = keyof typeof sealReasons;
export type ConditionReason = keyof typeof conditionReasons | KekReason | SealReason;
export type EventReason = keyof typeof eventReasons | ConditionReason;
