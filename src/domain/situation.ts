import type { Duration, Instant } from './duration.ts';
import type { KeyFacts, Ledger } from './ledger.ts';
import type { Registration } from './registration.ts';
import type { TimingLimits } from './timing.ts';

/** Whether a sealed private key opens and matches its public half; a fault carries a constant reason and a sentence. */
export type Custody =
  | { readonly opens: true; readonly kekID: string }
  /** `kekID`: what it says it is sealed under; that key-encryption key is needed all the more. */
  | (Fault & { readonly kekID?: string });

export interface Fault {
  readonly opens?: false;
  readonly reason: string;
  readonly message: string;
}

/** What the replicas were just observed to serve. */
export interface Observation {
  /** Key IDs that every ready replica serves in every document they belong to. Zero replicas serve nothing. */
  readonly servedKeyIDs: ReadonlySet<string>;
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

/** Everything a decision depends on. Plans are pure functions of it. */
export interface Situation {
  readonly registration: Registration;
  readonly ledger: Ledger;
  readonly custody: ReadonlyMap<string, Custody>;
  readonly observation: Observation;
  readonly delivery: DeliveryState;
  /** For a registration that imports keys and has none yet. */
  readonly imports?: ImportState;
  /** The key-encryption key that seals now. */
  readonly sealingKeyID?: string;
  /** Why nothing can be sealed now: the key-encryption key is missing or unusable. */
  readonly sealingFault?: Fault;
  /** Local clock minus the API server's. */
  readonly clockSkew: Duration;
  readonly limits: TimingLimits;
  readonly now: Instant;
}
