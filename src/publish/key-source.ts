import type { LtiKeyFacts } from './published-keys.ts';

/** Where the publisher learns what to publish: watches of LtiKeys, with their cache. */
export interface KeySource {
  /** Every LtiKey of the trust domain. */
  list(): readonly LtiKeyFacts[];
  /** Those of one registration. */
  listOf(namespace: string, registration: string): readonly LtiKeyFacts[];
  /** The cache was filled once and its watches are connected now. */
  isSynced(): boolean;
  /**
   * A live answer of the API server that no LtiKey of this name shows this key: there is none, or it shows another key. A
   * missing resource type is not that.
   */
  confirmGone(namespace: string, name: string, keyID: string): Promise<boolean>;
}
