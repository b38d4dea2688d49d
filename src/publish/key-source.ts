import type { LtiKeyFacts } from './published-key.ts';

/** The LtiKeys to publish, from cached watches of one or several namespaces. */
export interface KeySource {
  /** Every cached LtiKey. */
  list(): readonly LtiKeyFacts[];
  /** The cached LtiKeys of one registration. */
  listOf(namespace: string, registration: string): readonly LtiKeyFacts[];
  /** Whether enough was read to start: see Informer.isUsable. */
  isUsable(): boolean;
  /** Whether at least one watch is connected now, so that changes arrive. */
  isConnected(): boolean;
  /** The namespaces whose LtiKeys were never read. */
  unread(): readonly string[];
  /**
   * Asks the API server whether no LtiKey of this name shows this key: it does not exist, or shows another key. Rejects if the
   * request fails, the resource type is missing, or the namespace cannot be watched.
   */
  confirmGone(namespace: string, name: string, keyID: string): Promise<boolean>;
  /** Likewise, whether the registration has no LtiKey at all. */
  confirmNone(namespace: string, registration: string): Promise<boolean>;
}
