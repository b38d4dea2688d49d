/**
 * Every reason of a condition or an event, with its meaning and its remedy. Reasons are API: programs match on them.
 * docs/conditions.md is generated from these tables (`npm run generate`). A reason that is not in them does not compile. Reasons with
 * the prefixes Ledger, Seal, KEK and KMS raise LTIKeyMaterialUnavailable, others LTIRegistrationStalled (deploy/alerts.yaml).
 */
export interface Reason {
  readonly meaning: string;
  /** What to do about it; empty if no action is required. Markdown; links are relative to docs/. */
  readonly remedy: string;
}

const reason = (meaning: string, remedy = ''): Reason => ({ meaning, remedy });
const restore = 'Restore the ledger Secret: see [recovery.md](recovery.md#the-ledger-is-lost).';

/** Reasons of the conditions of LtiRegistrations and LtiKeys. */
export const conditionReasons = {
  SigningKeyReady: reason('The signing key is published and, if a delivery Secret is configured, delivered.'),
  ServedByAllReplicas: reason('Every ready replica serves the signing key.'),
  KeysDecryptable: reason('Every sealed private key can be decrypted.'),
  PlatformRecorded: reason('The spec has the issuer, the client ID and the token endpoint of the platform.'),
  IssuerMissing: reason(
    'spec.issuer is not set. The tool cannot sign deep-linking responses yet.',
    'Register the tool at the platform with the JWKS URL, then set `spec.issuer` and `spec.clientID`.',
  ),
  ClientIDMissing: reason(
    'spec.clientID is not set. The tool can sign nothing yet.',
    'Set `spec.clientID` to the ID that the platform assigned.',
  ),
  TokenEndpointMissing: reason(
    'spec.tokenEndpoint is not set. The tool can get no access tokens.',
    'Set `spec.tokenEndpoint`, unless the tool uses no services of the platform, such as grades and rosters.',
  ),
  NoActionRequired: reason('No action is required.'),
  UpToDate: reason('No operation is in progress.'),
  NotStalled: reason('Nothing blocks rotation.'),
  Suspended: reason(
    'spec.suspend is true: no rotation starts and no key retires.',
    'Set `spec.suspend: false` to resume.',
  ),
  NoSigningKey: reason(
    'The registration has no signing key.',
    'A new registration has its first key within seconds. If the condition persists, see `Stalled` and `Reconciling`.',
  ),
  NotServedByAllReplicas: reason(
    'At least one ready replica does not serve the signing key, or no replica is ready.',
    'The message names the replica: see [LTIActiveKeyNotPublished](runbooks.md#ltiactivekeynotpublished).',
  ),
  DeliveryPending: reason(
    'The delivery Secret does not hold the signing key yet.',
    'The operator writes it within seconds. If the condition persists, see `Stalled`.',
  ),
  GeneratingKey: reason('A key pair is being generated.', 'Wait: a key of 4096 bits takes seconds.'),
  WaitingForPublication: reason(
    'A new key is not yet served by every ready replica.',
    'Wait. The message names the replica that does not serve the key.',
  ),
  WaitingForActivation: reason(
    'The next key is published and waits for its activation time.',
    'Wait until the time in the message.',
  ),
  AcknowledgementRequired: reason(
    'With keyDistribution Manual, a key has not been acknowledged in spec.acknowledgedKeyID.',
    'Paste the public key at the platform, then set `spec.acknowledgedKeyID` to its key ID.',
  ),
  NotFetched: reason(
    'No client has fetched the document since the next key was published, and half of the time until it signs is over. Not reported for Moodle and Blackboard, which fetch a key only after it signed. Only with activation AfterFetch does the rotation wait.',
    'Compare the key set URL at the platform: see [LTIJWKSNeverFetched](runbooks.md#ltijwksneverfetched).',
  ),
  FetchRequired: reason(
    'With activation AfterFetch, the next key is due and does not sign, because no client is known to have fetched it.',
    'Compare the key set URL at the platform. To let the key sign nevertheless, set `spec.acknowledgedKeyID` to its key ID: see [Wait for a fetch](spec/ltiregistration.md#wait-for-a-fetch).',
  ),
  UnknownRevokedKeyID: reason(
    'An entry of spec.revokedKeyIDs matches no key of this registration, so it revokes nothing.',
    'Copy the key ID from the KEY ID column of `kubectl get ltikeys`, or remove the entry.',
  ),
  WriteRefused: reason(
    'The operator cannot write an object. The API server refuses the write because of RBAC, a quota, an admission policy or an immutable object, or it does not process it, or finalizers keep a deleted object. The operator retries.',
    'The message has the object, what happened, and what to check.',
  ),
  SpecInvalid: reason(
    'The API server accepted a value in the spec that the operator cannot use.',
    'Correct the field that the message names.',
  ),
  UnexpectedError: reason(
    'An unexpected error prevented the operator from checking a key. The operator retries and continues with everything else.',
    'This is a defect: report it with the message, which names the error.',
  ),
  DeliverySecretConflict: reason(
    'The Secret of spec.delivery exists, and the operator did not create it for this registration. The operator does not change it.',
    'Choose another name in `spec.delivery`, or delete that Secret.',
  ),
  DeliveryRecipientInvalid: reason(
    'spec.delivery.recipient is not a usable public key. The tool keeps its current key unless that key is revoked.',
    'Correct `spec.delivery.recipient` as the message says.',
  ),
  DeliverySecretUnreadable: reason(
    'The operator cannot read the delivery Secret.',
    'The message has the server’s reason: grant the operator the rules of [rbac.yaml](../deploy/rbac.yaml).',
  ),
  ActivationDelayTooShort: reason(
    'spec.activationDelay is below its minimum.',
    'Raise `spec.activationDelay` to the minimum in the message.',
  ),
  OverlapTooShort: reason('spec.overlap is below its minimum.', 'Raise `spec.overlap` to the minimum in the message.'),
  RotationTooFrequent: reason(
    'spec.rotateAfter is not longer than activationDelay and overlap together.',
    'Raise `spec.rotateAfter`, or shorten the other two.',
  ),
  RotationWindowInvalid: reason(
    'An entry of spec.rotationWindows is not a valid schedule or time zone.',
    'Correct the entry that the message names.',
  ),
  RotationWindowNeverOpens: reason(
    'An entry of spec.rotationWindows never opens.',
    'Correct the entry that the message names.',
  ),
  TooManyKeys: reason(
    'The registration has the maximum number of published keys, so the operator creates no new one.',
    'Shorten `spec.overlap`, or wait until a key retires.',
  ),
  RevocationEffective: reason('No replica serves the revoked key, and the platform no longer accepts it.'),
  RevocationPending: reason(
    'No replica serves the revoked key, but the platform may still accept it from a cached key set.',
    'Wait until the time in the message. If it names no time, do what the message says; the condition ends when the operator sees a fetch, or when you [acknowledge](kubectl-lti.md#acknowledge) it with `--revocation`.',
  ),
  RevokedKeyStillServed: reason(
    'A replica or the public URL still serves the revoked key, or could not be checked. Ready has this reason while the key signs, and while its LtiKey can neither be changed nor deleted.',
    'Restart the replica or purge the cache that the message names.',
  ),
  RevokedKeyDelivered: reason(
    'No replica serves the revoked key, but a delivery Secret holds it, or cannot be read and may hold it.',
    'The message names the Secret: delete it, or let the operator read, change and delete it.',
  ),
  ClockSkewed: reason(
    'The clocks of the operator and the API server differ too much: no key is activated or retired until they agree.',
    'Repair time synchronization: see [LTIClockSkew](runbooks.md#lticlockskew).',
  ),
  IssuerChanged: reason(
    'The ledger holds the keys of another issuer, and two platforms must not share keys.',
    'Rename this registration, or remove the keys of the former one: see [recovery.md](recovery.md#another-issuer-under-the-same-name).',
  ),
  LedgerMissing: reason('The ledger Secret does not exist although the registration has keys.', restore),
  LedgerUnreadable: reason(
    'The operator cannot read the ledger Secret, or the LtiKeys that show what was in it.',
    'The message has the reason: if the API server refuses the request, grant the operator the rules of [rbac.yaml](../deploy/rbac.yaml); if there is no answer, check the API server and the network.',
  ),
  LedgerCorrupt: reason('The ledger Secret is empty, truncated or was edited.', restore),
  LedgerMismatch: reason(
    'The ledger Secret belongs to another registration.',
    'Restore both ledgers under their own names: see [recovery.md](recovery.md#the-ledger-is-lost).',
  ),
  LedgerFormatUnknown: reason(
    'A newer release wrote the ledger. Its keys stay published; nothing is written.',
    'Run the newer release again.',
  ),
  LedgerRolledBack: reason(
    'The ledger Secret was overwritten with an older copy.',
    'Restore the newest copy: see [recovery.md](recovery.md#an-older-ledger-was-restored).',
  ),
  LedgerSecretConflict: reason(
    'A Secret that is not a ledger has the name of the ledger Secret.',
    'Rename or delete that Secret.',
  ),
  SealedKeyMissing: reason('The ledger Secret has no sealed private key for one of its keys.', restore),
  ImportSecretMissing: reason(
    'The Secret that spec.import names does not exist.',
    'Create the Secret, or remove `spec.import`.',
  ),
  ImportSecretUnreadable: reason(
    'The operator cannot read the Secret that spec.import names.',
    'The message has the server’s reason. If it is Forbidden, grant the operator `get` on the Secret.',
  ),
  ImportNotGranted: reason(
    'The Secret that spec.import names does not permit this registration to import it.',
    'Annotate the Secret as the message says.',
  ),
  ImportKeyRefused: reason(
    'A key that spec.import names is missing, malformed or weak.',
    'Correct the key as the message says.',
  ),
  RegistrationDeleted: reason(
    'The registration was deleted and its keys are retained.',
    'Apply the registration again to continue with its keys, or [remove them](recovery.md#remove-a-retained-registration).',
  ),
  DeletionUnconfirmed: reason(
    'The registration had deletionPolicy Delete and does not exist, but its CustomResourceDefinition was deleted or cannot be read. Nothing is removed.',
    'Apply the registration again to continue with its keys. To destroy them, delete it afterwards: see [the deletion is not confirmed](recovery.md#a-deletion-is-not-confirmed).',
  ),
} as const satisfies Record<string, Reason>;

/** Reasons of key-encryption keys; also values of the label `reason` of `lti_kek_error_info`. */
export const kekReasons = {
  KEKDirectoryMissing: reason(
    'The KEK directory does not exist or cannot be listed.',
    'Mount the directory, or name another with `--kek-dir`.',
  ),
  KEKPrimaryMissing: reason(
    'The file `primary`, which names the KEK for sealing, is missing or names no KEK.',
    'Write the ID of the KEK for sealing into the file `primary`.',
  ),
  KEKMissing: reason(
    'The KEK that `primary` or a sealed key names has no file.',
    'Restore the file from your backup. Never create a new key under its name: it cannot decrypt what was sealed before.',
  ),
  KEKUnreadable: reason(
    'The KEK file exists but cannot be read.',
    'Make the file readable by the operator’s user (65532).',
  ),
  KEKMalformed: reason(
    'The KEK file does not hold a 256-bit key in base64, or its name is not a valid KEK ID.',
    'Restore the file from your backup. If the KEK has never sealed anything, write the output of `openssl rand -base64 32` to it.',
  ),
  KEKChanged: reason(
    'The bytes of the KEK differ from those of the key that was first used under its name.',
    'Restore the former key, and give the new one another name. Leave the ledgers as they are.',
  ),
  KEKUnverified: reason(
    'The operator cannot read or write the Secret of KEK canaries, so it cannot verify the KEK and seals nothing under it.',
    'The message has the Secret and the server’s reason: see [canaries](guides/rotate-a-kek.md#canaries).',
  ),
  KMSUnavailable: reason(
    'The socket of the KMS plugin does not exist, refuses connections, or does not answer in time.',
    'Start the plugin, and mount its socket into the controller.',
  ),
  KMSUnhealthy: reason('The KMS plugin reports that it is not healthy.', 'See the log of the plugin.'),
  KMSRefused: reason(
    'The KMS plugin returns an error, for example because it may not use its key or cannot decrypt with it.',
    'See the log of the plugin; grant it the use of its key.',
  ),
  KMSMalformed: reason(
    'The responses of the KMS plugin violate the KMS v2 API.',
    'Use a plugin that implements the KMS v2 API.',
  ),
} as const satisfies Record<string, Reason>;

/** Reasons of sealed private keys. */
export const sealReasons = {
  SealMalformed: reason('The sealed key does not have the format that the operator writes.', restore),
  SealVersionUnknown: reason(
    'Another release sealed the key, in a format version that this one cannot read.',
    'Run the newer release again, or restore the ledger.',
  ),
  SealContextMismatch: reason(
    'The key was sealed for another namespace, registration or key ID.',
    'The ledger was copied from another registration: [restore](recovery.md#the-ledger-is-lost) the ledger of this one.',
  ),
  SealKEKMissing: reason(
    'The KEK of the sealed key cannot be used. The message has its ID and the cause.',
    'Restore the KEK: see [recovery.md](recovery.md#a-key-encryption-key-is-lost).',
  ),
  SealTampered: reason(
    'The sealed key was changed, or the bytes of its KEK were.',
    'If the message names the KEK, restore its former bytes. Otherwise restore the ledger: see [recovery.md](recovery.md#the-ledger-is-lost).',
  ),
  SealKeyMismatch: reason('The sealed key can be decrypted, but is not the key that the ledger lists.', restore),
} as const satisfies Record<string, Reason>;

/** Reasons of the events in the life of a key; all other events repeat the reason of a condition. */
export const eventReasons = {
  KeyCreated: reason('The next key was created and is being published. It does not sign yet.'),
  KeyActivated: reason('A key became the signing key.'),
  KeyRetired: reason('The overlap of a key ended. It is no longer published, and its private key was destroyed.'),
  KeyRevoked: reason('A key was revoked, or is being revoked.'),
  NextKeyDiscarded: reason('The next key was discarded before it signed, because spec.key.size changed.'),
  RotationRequested: reason('A rotation was requested, and the next key, which already exists, answers the request.'),
} as const satisfies Record<string, Reason>;

export type KekReason = keyof typeof kekReasons;
export type SealReason = keyof typeof sealReasons;
export type ConditionReason = keyof typeof conditionReasons | KekReason | SealReason;
export type EventReason = keyof typeof eventReasons | ConditionReason;
