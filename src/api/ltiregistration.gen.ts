// Generated from crds/ltiregistrations.yaml by `npm run generate`. Do not edit.

/**
 * What the platform told you about itself, and how the tool's key is to be handled. The operator never writes here.
 */
export interface LtiRegistrationSpec {
  /**
   * The platform's issuer identifier: the `iss` of its launch messages and the `aud` of the tool's deep-linking responses. An https URL without query or fragment, compared character by character, so copy it exactly. It cannot be changed, because another issuer is another registration.
   */
  readonly issuer: string;
  /**
   * The client ID the platform gave to the tool: `iss` and `sub` of its client assertions. Leave it out until the platform has assigned one; the JWKS URL exists before it. Printable ASCII, as RFC 6749 says.
   */
  readonly clientID?: string;
  /**
   * The platform's OpenID Connect authorization URL, to which the tool sends the browser at the start of a launch. Only handed on to the tool.
   */
  readonly authorizationEndpoint?: string;
  /**
   * The platform's OAuth 2.0 token URL, where the tool exchanges a signed client assertion for an access token. Only handed on to the tool.
   */
  readonly tokenEndpoint?: string;
  /**
   * The `aud` of client assertions where the platform wants something other than tokenEndpoint (Brightspace calls it the OAuth2 Audience). Only handed on to the tool.
   */
  readonly tokenAudience?: string;
  /**
   * Where the platform publishes its own public keys, with which the tool verifies launches. Not to be confused with status.jwksURL, where the tool's keys are. Only handed on to the tool.
   */
  readonly jwksURI?: string;
  /**
   * The deployments of the tool at this platform, as `deployment_id` in its launches. Only handed on to the tool.
   *
   * Items: One deployment ID, at most 255 ASCII characters as LTI 1.3 says.
   */
  readonly deploymentIDs?: readonly string[];
  /**
   * The product the platform runs. It changes advice, such as how long a revoked key may still be accepted, and nothing else.
   */
  readonly platform: 'Canvas' | 'Moodle' | 'Blackboard' | 'Brightspace' | 'Sakai' | 'OpenEdX' | 'Other';
  /**
   * How the platform learns the tool's public key. JWKSURL: it fetches status.jwksURL. Manual: somebody pastes the key at the platform, so every new key waits for acknowledgedKeyID before it signs.
   */
  readonly keyDistribution: 'JWKSURL' | 'Manual';
  /**
   * What kind of key the next one is. The keys that exist stay as they are.
   */
  readonly key: {
    /**
     * The signature algorithm. RS256 is the one that every LTI 1.3 platform accepts.
     */
    readonly algorithm: 'RS256';
    /**
     * The RSA modulus in bits.
     */
    readonly size: 2048 | 3072 | 4096;
  };
  /**
   * How long a key signs before the next one takes over. Whole numbers with the units w, d, h, m and s, such as 90d or 1d12h; from one second to ten years. A rotation comes up to 5 % earlier, so that registrations created together do not rotate together.
   */
  readonly rotateAfter: string;
  /**
   * How long a new key is published before it signs, so that every platform has fetched it. Written like rotateAfter. It must outlast every cache between the sidecar and the platform; the operator refuses less than its floor with a condition.
   */
  readonly activationDelay: string;
  /**
   * How long the old key stays published after it stopped signing, so that its last tokens are still accepted. Written like rotateAfter. The operator refuses less than its floor with a condition.
   */
  readonly overlap: string;
  /**
   * When rotations may happen. A rotation that is due, for whatever reason but a revocation, waits until one of the windows is open, though never past rotationWindowDeadline. Without windows it may happen at any time.
   */
  readonly rotationWindows?: readonly RotationWindow[];
  /**
   * How long a rotation that is due waits for a window at the most; then it happens outside of one. Written like rotateAfter.
   */
  readonly rotationWindowDeadline: string;
  /**
   * Any text, such as a date and a reason. Changing it rotates the key once, outside the schedule; a rotation that is already under way answers it.
   */
  readonly rotationTrigger?: string;
  /**
   * With keyDistribution Manual: the ID of the key that has been pasted at the platform. The operator activates a next key only when its ID stands here.
   */
  readonly acknowledgedKeyID?: string;
  /**
   * IDs of keys that are no longer to be trusted, for example after a leak. They leave the JWKS at once; one that signs is replaced first if that is quick. Leave the IDs here: a revocation is never undone.
   *
   * Items: One key ID, as in the KEY ID column of kubectl get ltikeys.
   */
  readonly revokedKeyIDs?: readonly string[];
  /**
   * While true, no rotation starts and no key is retired. Publishing goes on and revocation still works.
   */
  readonly suspend: boolean;
  /**
   * What happens to the keys when this registration is deleted. Retain: they stay and stay published, and a registration of the same name and namespace continues with them. Delete: the operator removes the LtiKeys, the delivery Secret and the sealed keys.
   */
  readonly deletionPolicy: 'Retain' | 'Delete';
  /**
   * How many Retired keys are kept on record, without their private halves.
   */
  readonly keyHistoryLimit: number;
  /**
   * The keys that the tool used before. Read once, when the registration gets its first key, and remembered with it; later changes have no effect.
   */
  readonly import?: {
    /**
     * The Secret of this namespace with the private key that becomes revision 1. It has to carry the annotation ltikeys.dev/import-granted-to with the name of this registration. While it is missing or refused, no key is made.
     */
    readonly secretName?: string;
    /**
     * The entry of the Secret that holds the key, as PEM (PKCS#1 or PKCS#8) or as a JWK.
     */
    readonly entry: string;
    /**
     * The key ID by which the platforms know the key, if it is not its RFC 7638 thumbprint. Such a key is served in the registration's own document only.
     */
    readonly keyID?: string;
    /**
     * Public keys of the former system whose last tokens may still be on their way. Each is served until its time, and signs nothing.
     */
    readonly verifyOnly?: readonly VerifyOnly[];
  };
  /**
   * Where the tool gets its signing key. Without it the keys exist and are published, but no tool can read them.
   */
  readonly delivery?: {
    /**
     * The Secret of this namespace that the operator creates and keeps filled with the signing key, for the tool to mount. A Secret of this name that is not the operator's is left alone and reported.
     */
    readonly secretName: string;
    /**
     * Labels and annotations for the Secret, such as those that make a reloader restart the tool.
     */
    readonly metadata?: {
      /**
       * Labels that the operator adds to its own.
       */
      readonly labels?: {
        readonly [k: string]: string;
      };
      /**
       * Annotations that the operator adds to its own.
       */
      readonly annotations?: {
        readonly [k: string]: string;
      };
    };
    /**
     * The public key of whoever is to read the signing key. With it the Secret holds no private key in the clear but one JWE for this recipient, in the entry private.jwe.
     */
    readonly recipient?: {
      /**
       * The key type.
       */
      readonly kty: 'RSA' | 'EC' | 'OKP';
      /**
       * How the content key is encrypted or agreed upon (RFC 7518, section 4).
       */
      readonly alg: 'RSA-OAEP-256' | 'ECDH-ES' | 'ECDH-ES+A256KW';
      /**
       * The recipient's name for its key; it is copied to the header of the JWE.
       */
      readonly kid?: string;
      /**
       * What the key is for; enc means encryption.
       */
      readonly use?: 'enc';
      /**
       * The RSA modulus, base64url without padding.
       */
      readonly n?: string;
      /**
       * The RSA public exponent, base64url without padding.
       */
      readonly e?: string;
      /**
       * The curve of an EC or OKP key.
       */
      readonly crv?: 'P-256' | 'P-384' | 'P-521' | 'X25519';
      /**
       * The x coordinate, or the public key of an OKP key, base64url without padding.
       */
      readonly x?: string;
      /**
       * The y coordinate of an EC key, base64url without padding.
       */
      readonly y?: string;
    };
  };
}
/**
 * One recurring window.
 */
export interface RotationWindow {
  /**
   * When it opens, as a cron expression of five fields, such as 0 2 * * 6 for Saturdays at two. It is read as a CronJob reads it; besides, 6#1 is the first Saturday of the month and 6L the last.
   */
  readonly schedule: string;
  /**
   * How long it stays open. Written like rotateAfter; at least one minute.
   */
  readonly duration: string;
  /**
   * The IANA time zone the schedule is in, such as Europe/Berlin. Without it, UTC.
   */
  readonly timeZone?: string;
}
/**
 * One public key.
 */
export interface VerifyOnly {
  /**
   * The RSA public key as a JWK.
   */
  readonly publicJWK: {
    /**
     * The key type.
     */
    readonly kty: 'RSA';
    /**
     * The key ID of the former system; without it, the RFC 7638 thumbprint.
     */
    readonly kid?: string;
    /**
     * The modulus, base64url without padding; from 2048 to 8192 bits.
     */
    readonly n: string;
    /**
     * The public exponent, base64url without padding.
     */
    readonly e: string;
  };
  /**
   * When it leaves the JWKS, as an RFC 3339 time such as 2026-12-24T00:00:00Z, from the year 2000 to 9998.
   */
  readonly until: string;
}

/**
 * What the operator observed and did. Only the operator writes here.
 */
export interface LtiRegistrationStatus {
  /**
   * The metadata.generation this status answers. While it is lower, the status is of an earlier spec; -1 before the operator has looked at the registration.
   */
  readonly observedGeneration?: number;
  /**
   * The state in one word, for people; programs read the conditions. Pending: no key signs yet. Ready: a key signs, nothing else is under way. Rotating: a next key is on its way. Stalled: somebody has to change something first. ActionRequired: a key waits to be pasted at the platform. Suspended: spec.suspend is set. Revoking: a revoked key may still be served or accepted.
   */
  readonly phase?: 'Pending' | 'Ready' | 'Rotating' | 'Stalled' | 'ActionRequired' | 'Suspended' | 'Revoking';
  /**
   * The state in detail, one entry per type: Ready, Published, KeyMaterialAvailable, ActionRequired, RevocationEffective, Reconciling and Stalled.
   */
  readonly conditions?: readonly Condition[];
  /**
   * The key that signs.
   */
  readonly activeKey?: {
    /**
     * The name of its LtiKey.
     */
    readonly name: string;
    /**
     * Its key ID, the `kid` of the tokens it signs.
     */
    readonly keyID: string;
    /**
     * When the key pair was made.
     */
    readonly createdAt?: string;
    /**
     * When it began to sign.
     */
    readonly activatedAt?: string;
  };
  /**
   * The key that takes over next, already published. Absent between rotations.
   */
  readonly nextKey?: {
    /**
     * The name of its LtiKey.
     */
    readonly name: string;
    /**
     * Its key ID.
     */
    readonly keyID: string;
    /**
     * The earliest time at which it begins to sign. Absent until every replica has been observed serving it.
     */
    readonly activateAfter?: string;
  };
  /**
   * The URL of the tool's public keys, to be given to the platform. It never changes.
   */
  readonly jwksURL?: string;
  /**
   * When a key last took over from another.
   */
  readonly lastRotationTime?: string;
  /**
   * When the next key is to take over.
   */
  readonly nextRotationTime?: string;
  /**
   * The last value of spec.rotationTrigger that has been answered.
   */
  readonly observedRotationTrigger?: string;
  /**
   * The last value of the annotation ltikeys.dev/rotate-requested-at that has been answered.
   */
  readonly observedRotateRequest?: string;
  /**
   * The serial of the ledger this status was written from. It only grows.
   */
  readonly ledgerSerial?: number;
}
/**
 * One aspect of the state.
 */
export interface Condition {
  /**
   * Which aspect this is about, in CamelCase.
   */
  readonly type: string;
  /**
   * Whether it is so.
   */
  readonly status: 'True' | 'False' | 'Unknown';
  /**
   * The metadata.generation this condition was set for.
   */
  readonly observedGeneration?: number;
  /**
   * When the status last changed from one value to another.
   */
  readonly lastTransitionTime: string;
  /**
   * The cause in one CamelCase word, for programs.
   */
  readonly reason: string;
  /**
   * The cause and, where there is one, the remedy, for people.
   */
  readonly message: string;
}
