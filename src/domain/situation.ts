import type { ConditionReason } from '../api/reasons.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import type { Duration, Instant } from './duration.ts';
import type { Fetches } from './fetches.ts';
import type { KeyFacts, Ledger } from './ledger.ts';
import type { Registration } from './registration.ts';
import type { TimingLimits } from './timing.ts';

/** Whether a sealed private key can be decrypted and matches its public half. */
export type KeyMaterial =
  | { readonly opens: true; readonly kekID: string }
  /** `kekID`: the key-encryption key that the sealed key names; it is still in use. */
  | (Fault & { readonly kekID?: string });

export interface Fault {
  readonly opens?: false;
  readonly reason: ConditionReason;
  readonly message: string;
}

/** What the replicas were last observed to serve. */
export interface Observation {
  /** IDs of keys that every ready replica serves in all their documents, with the same n and e. Zero replicas serve nothing. */
  readonly servedKeyIDs: ReadonlySet<string>;
  /** IDs of keys that were missing in the answer of a replica. A replica that does not answer adds none. */
  readonly missingKeyIDs: ReadonlySet<string>;
  /** IDs of keys that must be absent → the replicas that still serve them or did not answer; no entry if absent everywhere. */
  readonly stillServed: ReadonlyMap<string, string>;
  /** IDs of keys that must be absent and were observed absent everywhere. */
  readonly absentKeyIDs: ReadonlySet<string>;
  /** For messages: which replica lacks which key. Empty if none is missing. */
  readonly detail: string;
  /** The longest cache lifetime announced: max-age + stale-while-revalidate + stale-if-error. */
  readonly cacheLifetime: Duration;
}

/** The state of the Secrets that a tool mounts. */
export interface DeliveryState {
  /** The ID of the key in the configured delivery Secret. */
  readonly keyID?: string;
  /** Other recorded delivery Secrets that still exist and belong to the operator, or that cannot be read. */
  readonly leftovers: readonly string[];
}

/** The keys of a former system to import; read only while there is no ledger. */
export interface ImportState {
  /** The private key that becomes revision 1, or why it cannot be imported. */
  readonly signing?: KeyFacts | Fault;
  readonly verifyOnly: readonly (KeyFacts & { readonly until: Instant })[];
}

/** What the lifecycle of a registration depends on; it has, or is about to get, a readable ledger. */
export interface Lifecycle extends Pick<
  Situation,
  'keyMaterial' | 'observation' | 'imports' | 'sealingKekID' | 'sealingFault' | 'clockSkew' | 'limits' | 'now'
> {
  readonly registration: Registration;
  readonly ledger: Ledger;
  readonly delivery: DeliveryState;
  /** What the replicas report and what the status recorded. */
  readonly fetches: Fetches;
  /** Live keys that no LtiKey shows as published: they may have left the documents before the ledger could record it. */
  readonly unpublishedKeyIDs: ReadonlySet<string>;
}

/** The registration as it is, as it last was before its deletion, or unknown because the cache is behind the API server. */
export type RegistrationReading = Present | Gone | Unknown;

/** The cache lacks the registration, and the API server has it or cannot be asked. */
export interface Unknown {
  readonly kind: 'unknown';
  /** Its last spec, if this process saw its deletion and the API server cannot confirm it. */
  readonly last?: LastSpec;
}

/** What a deletion depends on. The other fields may have values that the operator cannot use. */
export type LastSpec = Pick<Registration, 'deletionPolicy' | 'revokedKeyIDs'>;

/** The API server answered that this object does not exist. */
export interface Gone {
  readonly kind: 'gone';
  /** Its last spec, if this process saw its deletion. */
  readonly last?: LastSpec;
  /** When that object was created, by the API server. */
  readonly lastCreatedAt?: Instant;
  /** Read after the registration was found missing, and only if its deletion may destroy keys. */
  readonly definition?: DefinitionReading;
}

/** The CustomResourceDefinition of registrations. */
export type DefinitionReading =
  | { readonly kind: 'present'; readonly createdAt: Instant; readonly isTerminating: boolean }
  | { readonly kind: 'absent' }
  /** `because`: the error, such as `403 Forbidden: …`. */
  | { readonly kind: 'unreadable'; readonly because: string };

export interface Present {
  readonly kind: 'present';
  readonly object: LtiRegistration;
  readonly registration: Registration | Fault;
}

export type LedgerReading =
  /** The API server itself answered 404. `trace`: the evidence, if any, that there was a ledger. */
  | { readonly kind: 'absent'; readonly trace?: string }
  | { readonly kind: 'faulty'; readonly fault: Fault }
  | { readonly kind: 'present'; readonly ledger: Ledger };

/** One Secret that a tool mounts or mounted. */
export type DeliverySecret =
  | { readonly kind: 'absent' }
  /** It does not belong to the operator, which does not change it. */
  | { readonly kind: 'foreign'; readonly fault: Fault }
  /** It cannot be read. It may hold a private key, so it counts as a Secret of the operator until it can be read. */
  | { readonly kind: 'unreadable'; readonly fault: Fault }
  | {
      readonly kind: 'ours';
      readonly keyID?: string;
      /** Whether its private key is the one that the operator wrote for `keyID` and this recipient. */
      readonly intact: boolean;
      /** RFC 7638 thumbprint of the key that it was encrypted for. */
      readonly recipient?: string;
      readonly serial: number;
      /** The names of the entries that are made from the private half. */
      readonly keyFiles: readonly string[];
      /** The entries without private keys, as text. */
      readonly entries: Readonly<Record<string, string>>;
      readonly metadata: DeliveryMetadata;
      /** Whether its annotations have the copy that `kubectl apply` makes, which includes the private key. */
      readonly lastApplied: boolean;
    };

export interface DeliveryMetadata {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A key pair that was generated or imported, is sealed, and waits to be written. */
export interface SealedPair {
  readonly facts: KeyFacts;
  readonly kekID: string;
}

/** Why a write was not carried out: it decides what a user has to check. */
export type RefusalKind =
  /** By a rule: RBAC, a quota, validation, admission, an immutable object. */
  | 'Refused'
  | 'Unauthenticated'
  /** The object was deleted, but finalizers of others keep it. */
  | 'Held'
  /** Another client wrote the object first, each time. */
  | 'Contended'
  | 'Overloaded'
  /** There was no usable answer, so the write may have taken effect. */
  | 'Unanswered';

/** A write that the API server refused or did not process while the operator dealt with this situation. */
export interface Refusal {
  readonly kind: RefusalKind;
  /** Such as `Secret gradebook/canvas-lti-keys`. */
  readonly object: string;
  /** Such as `create` or `update`. */
  readonly verb: string;
  /** The server's status, reason and message, or what happened instead of an answer. */
  readonly because: string;
}

/** Everything a decision depends on. Faults and refusals are data. Decisions are pure functions of it. */
export interface Situation {
  readonly namespace: string;
  readonly name: string;
  readonly registration: RegistrationReading;
  readonly ledger: LedgerReading;
  /** The LtiKeys of the registration, each in its newest known version. */
  readonly ltiKeys: readonly LtiKey[];
  /** Only for a deleted registration: why LtiKeys that the cache lacks could not be read. They may exist. */
  readonly unreadKeys?: Fault;
  readonly keyMaterial: ReadonlyMap<string, KeyMaterial>;
  readonly observation: Observation;
  /** As the replicas report them. */
  readonly fetches?: Fetches;
  /** Name → Secret: the configured one and those on record. */
  readonly deliveries: ReadonlyMap<string, DeliverySecret>;
  /** The thumbprint of the recipient's key, or why the key cannot be used. */
  readonly recipient?: { readonly thumbprint: string } | Fault;
  /** Only for a registration that imports keys and has none yet. */
  readonly imports?: ImportState;
  /** Ready to be written: the pair that an earlier decision requested, or the imported key. */
  readonly pair?: SealedPair;
  /** A key pair is being generated. */
  readonly generating?: boolean;
  /** The key-encryption key that seals now. */
  readonly sealingKekID?: string;
  /** Why nothing can be sealed now, such as a missing key-encryption key. */
  readonly sealingFault?: Fault;
  /** Key ID → other registrations of the namespace whose documents have the same key. */
  readonly shared: ReadonlyMap<string, readonly string[]>;
  /** Effects that the API server refused, by ID (effects.ts). */
  readonly refused: ReadonlyMap<string, Refusal>;
  /** Local clock minus the API server's. */
  readonly clockSkew: Duration;
  readonly limits: TimingLimits;
  /** Where platforms fetch the keys, if configured. */
  readonly jwksURL?: string;
  /** The same for all registrations of the namespace. */
  readonly namespaceJwksURL?: string;
  /** The API server's time. */
  readonly now: Instant;
}

export function isFault(value: object): value is Fault {
  return 'reason' in value;
}
