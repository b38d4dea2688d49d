// Generated from crds/ltiregistrations.yaml by `npm run generate`. Do not edit.

/**
 * The platform's registration data and the policy for the tool's keys. The operator never writes the spec.
 */
export interface LtiRegistrationSpec {
  /**
   * The platform's issuer identifier: the `iss` of its launch messages and the `aud` of the tool's deep-linking responses. An https URL without query or fragment, compared character by character, so copy it exactly. Omit it until the platform is known; the JWKS URL does not depend on it. Once set, it is immutable, because another issuer is another registration.
   */
  readonly issuer?: string;
  /**
   * The client ID that the platform assigned to the tool: `iss` and `sub` of its client assertions. Omit it until the platform has assigned one; the JWKS URL does not depend on it. Printable ASCII (RFC 6749).
   */
  readonly clientID?: string;
  /**
   * The platform's OpenID Connect authorization URL, to which the tool redirects the browser at the start of a launch. Only passed on to the tool.
   */
  readonly authorizationEndpoint?: string;
  /**
   * The platform's OAuth 2.0 token URL, where the tool exchanges a signed client assertion for an access token. Only passed on to the tool.
   */
  readonly tokenEndpoint?: string;
  /**
   * The `aud` of client assertions, if the platform requires a value other than tokenEndpoint (Brightspace calls it the OAuth2 Audience). Only passed on to the tool.
   */
  readonly tokenAudience?: string;
  /**
   * The URL of the platform's own public keys, with which the tool verifies launches. Not to be confused with status.jwksURL, the URL of the tool's keys. Only passed on to the tool.
   */
  readonly jwksURI?: string;
  /**
   * The deployments of the tool at this platform: the `deployment_id` values of its launches. Only passed on to the tool.
   *
   * Items: One deployment ID, at most 255 ASCII characters (LTI 1.3).
   */
  readonly deploymentIDs?: readonly string[];
  /**
   * The product that the platform runs. It affects status messages, such as how long the platform may still accept a revoked key, and whether activation may be AfterFetch.
   */
  readonly platform: 'Canvas' | 'Moodle' | 'Blackboard' | 'Brightspace' | 'Sakai' | 'OpenEdX' | 'Other';
  /**
   * How the platform gets the tool's public key. JWKSURL: it fetches status.jwksURL. Manual: a person pastes the key at the platform, so every new key but the first waits for acknowledgedKeyID before it signs.
   */
  readonly keyDistribution: 'JWKSURL' | 'Manual';
  /**
   * The parameters of new keys. Existing keys do not change.
   */
  readonly key: {
    /**
     * The signature algorithm. Every LTI 1.3 platform accepts RS256.
     */
    readonly algorithm: 'RS256';
    /**
     * The size of the RSA modulus in bits.
     */
    readonly size: 2048 | 3072 | 4096;
  };
  /**
   * How long a key signs before the next one replaces it. Whole numbers with the units w, d, h, m and s, such as 90d or 1d12h; from one second to ten years. A rotation happens up to 5 % earlier, so that registrations created together do not rotate together.
   */
  readonly rotateAfter: string;
  /**
   * How long a new key is published before it signs, so that every platform has fetched it. Same format as rotateAfter. It must be longer than the lifetime of every cache between the operator and the platform. If it is below the operator's minimum, the Stalled condition reports it and no key rotates.
   */
  readonly activationDelay: string;
  /**
   * When a published next key signs. AfterDelay: when activationDelay has passed and the rotation is due. AfterFetch: also not before a client has fetched the document of this registration since the key was published; until then, the ActionRequired condition has the reason FetchRequired. The first key and revocations do not wait for a fetch.
   */
  readonly activation: 'AfterDelay' | 'AfterFetch';
  /**
   * How long the old key stays published after it stopped signing, so that platforms accept its last tokens. Same format as rotateAfter. If it is below the operator's minimum, the Stalled condition reports it and no key rotates.
   */
  readonly overlap: string;
  /**
   * When rotations may happen. Any rotation that is due, except after a revocation, waits until one of the windows is open, but no longer than rotationWindowDeadline. Without windows, it may happen at any time.
   */
  readonly rotationWindows?: readonly RotationWindow[];
  /**
   * The maximum time for which a rotation that is due waits for a window. After that, it happens outside of the windows. Same format as rotateAfter.
   */
  readonly rotationWindowDeadline: string;
  /**
   * Any text, such as a date and a reason. Changing it rotates the key once, outside the schedule. If a rotation is already in progress, no second one starts.
   */
  readonly rotationTrigger?: string;
  /**
   * With keyDistribution Manual: the ID of the key that has been pasted at the platform. A new key signs only when this field has its ID. The first key, generated or imported, does not wait. With activation AfterFetch: the ID of a key that may sign although no client has fetched it.
   */
  readonly acknowledgedKeyID?: string;
  /**
   * IDs of revoked keys, for example after a leak. A revoked key leaves the JWKS at once. If it signs, a replacement that is ready within seconds takes over first. Keep the IDs here: a revocation cannot be undone.
   *
   * Items: A key ID, as in the KEY ID column of kubectl get ltikeys.
   */
  readonly revokedKeyIDs?: readonly string[];
  /**
   * While true, no rotation starts and no key retires. Keys stay published, and revocation still works.
   */
  readonly suspend: boolean;
  /**
   * What happens to the keys when this registration is deleted. Retain: they are kept and stay published, and a registration with the same name and namespace continues with them. Delete: the operator deletes the LtiKeys, the delivery Secret and the sealed keys.
   */
  readonly deletionPolicy: 'Retain' | 'Delete';
  /**
   * The number of Retired keys to keep on record, without their private keys.
   */
  readonly keyHistoryLimit: number;
  /**
   * The keys that the tool used before. The operator imports them once, when it creates the first key of the registration; later changes have no effect.
   */
  readonly import?: {
    /**
     * The Secret in this namespace with the private key that becomes revision 1. It must have the annotation ltikeys.dev/import-granted-to with the name of this registration. Until the import succeeds, the registration has no key.
     */
    readonly secretName?: string;
    /**
     * The entry of the Secret with the key, as PEM (PKCS#1 or PKCS#8) or as a JWK.
     */
    readonly entry: string;
    /**
     * The key ID under which the platforms know the key, if it is not its RFC 7638 thumbprint. The document of all namespaces does not contain such a key. Libraries that derive the key ID, such as stock PyLTI1p3, send the thumbprint, which is then not published.
     */
    readonly keyID?: string;
    /**
     * Public keys of the former system, published so that platforms accept the last tokens that it signed. Each is published until its time.
     */
    readonly verifyOnly?: readonly VerifyOnly[];
  };
  /**
   * Where the tool gets its signing key. If omitted, the keys are created and published, but no tool can read them.
   */
  readonly delivery?: {
    /**
     * The Secret in this namespace that the operator creates and keeps up to date with the signing key, for the tool to mount. If another Secret has this name, the operator does not change it and reports the conflict.
     */
    readonly secretName?: string;
    /**
     * Secrets that this registration shares with others of the namespace, for a tool that gets new registrations without a restart. Their entries begin with the name of the registration: canvas.private.jwk.
     */
    readonly bundle?: {
      /**
       * The Secrets are named <name>-0, <name>-1 and so on.
       */
      readonly name: string;
      /**
       * The number of Secrets in the bundle, the same in all registrations of the bundle. One Secret has room for 100 to 300 registrations.
       */
      readonly shards: number;
    };
    /**
     * The files that the Secret has; all that apply if omitted. Without jwks.json, a rotation writes the Secret once instead of three times.
     *
     * Items: The name of a file.
     */
    readonly files?: (
      'private.jwk' | 'private.pem' | 'private.jwe' | 'public.pem' | 'kid' | 'jwks.json' | 'registration.json'
    )[];
    /**
     * Labels and annotations for the Secret, such as those with which a reloader restarts the tool.
     */
    readonly metadata?: {
      /**
       * Labels in addition to those of the operator.
       */
      readonly labels?: {
        readonly [k: string]: string;
      };
      /**
       * Annotations in addition to those of the operator.
       */
      readonly annotations?: {
        readonly [k: string]: string;
      };
    };
    /**
     * The public key for which the signing key is encrypted. If set, the Secret holds no private key in plain text, but one JWE for this recipient in the entry private.jwe.
     */
    readonly recipient?: {
      /**
       * The key type.
       */
      readonly kty: 'RSA' | 'EC' | 'OKP';
      /**
       * The key management algorithm of the JWE (RFC 7518, section 4).
       */
      readonly alg: 'RSA-OAEP-256' | 'ECDH-ES' | 'ECDH-ES+A256KW';
      /**
       * The key ID of the recipient's key; it is copied to the header of the JWE.
       */
      readonly kid?: string;
      /**
       * The intended use of the key; enc means encryption.
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
   * When the window opens, as a cron expression of five fields, such as 0 2 * * 6 for Saturdays at 02:00. The syntax is that of a CronJob; in addition, 6#1 is the first Saturday of the month and 6L the last.
   */
  readonly schedule: string;
  /**
   * How long the window stays open. Same format as rotateAfter; at least one minute.
   */
  readonly duration: string;
  /**
   * The IANA time zone of the schedule, such as Europe/Berlin. UTC if omitted.
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
     * The key ID in the former system; the RFC 7638 thumbprint if omitted.
     */
    readonly kid?: string;
    /**
     * The modulus, base64url without padding; of 2048, 3072 or 4096 bits.
     */
    readonly n: string;
    /**
     * The public exponent, base64url without padding.
     */
    readonly e: string;
  };
  /**
   * When the key leaves the JWKS, as an RFC 3339 time such as 2026-12-24T00:00:00Z, from the year 2000 to 9998.
   */
  readonly until: string;
}

/**
 * The observed state of the registration. Only the operator writes it.
 */
export interface LtiRegistrationStatus {
  /**
   * The metadata.generation that this status describes. If it is lower than metadata.generation, the status is of an earlier spec. -1 until the operator first processes the registration.
   */
  readonly observedGeneration?: number;
  /**
   * The state in one word, for people; programs read the conditions. Pending: no key can be used yet. Ready: a key signs, and no operation is in progress. Rotating: a next key is being published. Stalled: a fault blocks rotation. ActionRequired: a manual action is needed. Suspended: spec.suspend is true. Revoking: a revoked key may still be served.
   */
  readonly phase?: 'Pending' | 'Ready' | 'Rotating' | 'Stalled' | 'ActionRequired' | 'Suspended' | 'Revoking';
  /**
   * The state in detail, one entry per type: Ready, Published, KeyMaterialAvailable, Registered, ActionRequired, RevocationEffective, Reconciling and Stalled.
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
     * Its key ID, the `kid` of the tokens that it signs.
     */
    readonly keyID: string;
    /**
     * When the key pair was created.
     */
    readonly createdAt?: string;
    /**
     * When the key became the signing key.
     */
    readonly activatedAt?: string;
  };
  /**
   * The key that replaces the signing key at the next rotation. Absent between rotations.
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
     * The earliest time at which the key becomes the signing key. Absent until every ready replica has been observed serving it.
     */
    readonly activateAfter?: string;
  };
  /**
   * The URL of the tool's public keys, to register at the platform. It never changes.
   */
  readonly jwksURL?: string;
  /**
   * When a key last replaced the signing key.
   */
  readonly lastRotationTime?: string;
  /**
   * The delivery Secrets and bundles that hold keys of the registration, or may hold some because they cannot be read.
   *
   * Items: The name of one.
   */
  readonly deliverySecretNames?: readonly string[];
  /**
   * When a client other than the operator last fetched the JWKS URL from a replica, as far as the operator knows. Accurate to a day, and exact for the first fetch after a next key was published.
   */
  readonly lastFetchTime?: string;
  /**
   * When the next key replaces the signing key.
   */
  readonly nextRotationTime?: string;
  /**
   * The last value of spec.rotationTrigger that the operator has processed.
   */
  readonly observedRotationTrigger?: string;
  /**
   * The last value of the annotation ltikeys.dev/rotate-requested-at that the operator has processed.
   */
  readonly observedRotateRequest?: string;
  /**
   * The serial of the ledger from which this status was written. It only increases.
   */
  readonly ledgerSerial?: number;
}
/**
 * One aspect of the state.
 */
export interface Condition {
  /**
   * The aspect that the condition describes, in CamelCase.
   */
  readonly type: string;
  /**
   * The status of the condition.
   */
  readonly status: 'True' | 'False' | 'Unknown';
  /**
   * The metadata.generation for which the condition was set.
   */
  readonly observedGeneration?: number;
  /**
   * When the status of the condition last changed.
   */
  readonly lastTransitionTime: string;
  /**
   * The cause as one CamelCase word, for programs.
   */
  readonly reason: string;
  /**
   * The cause and, if there is one, the remedy, for people.
   */
  readonly message: string;
}
