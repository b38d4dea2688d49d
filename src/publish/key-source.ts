import type { LtiKeyFacts } from './published-key.ts';

/** Where the publisher learns what to publish: watches of LtiKeys, with their cache, in one or several namespaces. */
export interface KeySource {
  /** Every LtiKey that was read. */
  list(): readonly LtiKeyFacts[];
  /** Those of one registration. */
  listOf(namespace: string, registration: string): readonly LtiKeyFacts[];
  /** Enough was read to begin with: see Informer.isUsable. */
  isUsable(): boolean;
  /** A watch is connected now, so that changes arrive, if not for every namespace. */
  isConnected(): boolean;
  /** Namespaces whose LtiKeys were never read. */
  unread(): readonly string[];
  /**
   * A live answer of the API server that no LtiKey of this name shows this key: there is none, or it shows another key. A
   * missing resource type is not that; it rejects then, and where the namespace cannot be watched either.
   */
  confirmGone(namespace: string, name: string, keyID: string): Promise<boolean>;
  /** Likewise, that the registration has no LtiKey at all. */
  confirmNone(namespace: string, registration: string): Promise<boolean>;
}
