import type { ConditionReason } from '../api/reasons.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import type { Duration, Instant } from './duration.ts';
import type { KeyFacts, Ledger } from './ledger.ts';
import type { Registration } from './registration.ts';
import type { TimingLimits } from './timing.ts';

/** Whether a sealed private key opens and matches its public half; a fault carries a constant reason and a sentence. */
export type KeyMaterial =
  | { readonly opens: true; readonly kekID: string }
  /** `kekID`: what it says it is sealed under; that key-encryption key is needed all the more. */
  | (Fault & { readonly kekID?: string });

export interface Fault {
  readonly opens?: false;
  readonly reason: ConditionReason;
  readonly message: string;
}

/** What the replicas were just observed to serve. */
export interface Observation {
  /** Key IDs that every ready replica serves, with this very key (n and e), in every document they belong to. Zero replicas serve nothing. */
  readonly servedKeyIDs: ReadonlySet<string>;
  /** Key IDs that a replica answered without; one that gives no answer is not among them. */
  readonly missingKeyIDs: ReadonlySet<string>;
  /** Key IDs that must be absent → who still serves them or gave no answer. Absent everywhere: no entry. */
  readonly stillServed: ReadonlyMap<string, string>;
  /** Key IDs that must be absent and were observed absent everywhere. */
  readonly absentKeyIDs: ReadonlySet<string>;
  /** For people: which replica lacks what. Empty when nothing is missing. */
  readonly detail: string;
  /** The longest cache lifetime announced: max-age + stale-while-revalidate + stale-if-error. */
  readonly cacheLifetime: Duration;
}

/** What is known of the Secrets a tool mounts. */
export interface DeliveryState {
  /** The key ID that the wanted delivery Secret holds. */
  readonly keyID?: string;
  /** Recorded delivery Secrets, other than the wanted one, that still exist and are ours. */
  readonly leftovers: readonly string[];
}

/** The keys of a former system, as far as they can be taken over; read only while there is no ledger. */
export interface ImportState {
  /** The private key that becomes revision 1, or why it cannot. */
  readonly signing?: KeyFacts | Fault;
  readonly verifyOnly: readonly (KeyFacts & { readonly until: Instant })[];
}

/** What the lifecycle of a registration depends on that has, or is about to get, a readable ledger. */
export interface Lifecycle {
  readonly registration: Registration;
  readonly ledger: Ledger;
  readonly keyMaterial: ReadonlyMap<string, KeyMaterial>;
  readonly observation: Observation;
  readonly delivery: DeliveryState;
  /** Live keys that no LtiKey shows as published: they left the documents, perhaps before the ledger could record it. */
  readonly withdrawnKeyIDs: ReadonlySet<string>;
  /** For a registration that imports keys and has none yet. */
  readonly imports?: ImportState;
  /** The key-encryption key that seals now. */
  readonly sealingKeyID?: string;
  /** Why nothing can be sealed now: the key-encryption key is missing or unusable. */
  readonly sealingFault?: Fault;
  /** Local clock minus the API server's. */
  readonly clockSkew: Duration;
  readonly limits: TimingLimits;
  /** The API server's time. */
  readonly now: Instant;
}

/** The registration: as it is, as it was when this process saw it go, or not known (the cache is behind the API server). */
export type RegistrationReading =
  | { readonly kind: 'present'; readonly object: LtiRegistration; readonly registration: Registration | Fault }
  | { readonly kind: 'gone'; readonly last?: Registration }
  | { readonly kind: 'unknown' };

export type LedgerReading =
  /** The API server said so of this very Secret. `trace`: what shows that there was one, if anything. */
  | { readonly kind: 'absent'; readonly trace?: string }
  | { readonly kind: 'faulty'; readonly fault: Fault }
  | { readonly kind: 'present'; readonly ledger: Ledger };

/** One Secret that a tool mounts or mounted. */
export type DeliverySecret =
  | { readonly kind: 'absent' }
  /** Somebody else's, or it cannot be read: it is left alone, and `fault` says so. */
  | { readonly kind: 'unusable'; readonly fault: Fault }
  | {
      readonly kind: 'ours';
      readonly keyID?: string;
      /** Whether the private half in it is what the operator wrote for `keyID` and this recipient. */
      readonly intact: boolean;
      /** RFC 7638 thumbprint of whom it was encrypted for. */
      readonly recipient?: string;
      readonly serial: number;
      /** The entries that are not secret, as text. */
      readonly entries: Readonly<Record<string, string>>;
      readonly metadata: DeliveryMetadata;
      /** Whether kubectl's copy of an applied object, private halves included, lies beside it. */
      readonly lastApplied: boolean;
    };

export interface DeliveryMetadata {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A key pair that was made or imported, sealed, and waits to be written. */
export interface SealedPair {
  readonly facts: KeyFacts;
  readonly kekID: string;
}

/** A write that the API server refused while this situation was dealt with. */
export interface Refusal {
  /** Such as `Secret gradebook/canvas-lti-keys`. */
  readonly object: string;
  /** Such as `create` or `update`. */
  readonly verb: string;
  /** The server's status, reason and message. */
  readonly because: string;
}

/** Everything a decision depends on. Faults and refusals are data. Decisions are pure functions of it. */
export interface Situation {
  readonly namespace: string;
  readonly name: string;
  readonly registration: RegistrationReading;
  readonly ledger: LedgerReading;
  /** The LtiKeys of the registration, the newest known of each. */
  readonly shown: readonly LtiKey[];
  readonly keyMaterial: ReadonlyMap<string, KeyMaterial>;
  readonly observation: Observation;
  /** Name → Secret: the wanted one and those on record. */
  readonly deliveries: ReadonlyMap<string, DeliverySecret>;
  /** The thumbprint of the recipient of deliveries, or why its key cannot be used. */
  readonly recipient?: { readonly thumbprint: string } | Fault;
  readonly imports?: ImportState;
  /** Ready to be written: the pair that an earlier decision asked for, or the imported key. */
  readonly pair?: SealedPair;
  /** A key pair is being made. */
  readonly generating?: boolean;
  readonly sealingKeyID?: string;
  readonly sealingFault?: Fault;
  /** Key ID → other registrations of the namespace in whose documents the same key is. */
  readonly shared: ReadonlyMap<string, readonly string[]>;
  /** Effects that the API server refused, by their ID (effects.ts). */
  readonly refused: ReadonlyMap<string, Refusal>;
  readonly clockSkew: Duration;
  readonly limits: TimingLimits;
  /** Where platforms fetch the keys, if the operator was told. */
  readonly jwksURL?: string;
  readonly now: Instant;
}

export function isFault(value: object): value is Fault {
  return 'reason' in value;
}
