import type { LtiKey } from '../api/objects.ts';
import type { Duration } from '../domain/duration.ts';
import type { Situation } from '../domain/situation.ts';
import type { ObjectKey, Secret } from '../kube/objects.ts';
import type { GeneratedKey } from './keys/key-generator.ts';
import type { LedgerRecord } from './secrets/ledger-secret.ts';
import type { Recipient } from './secrets/recipient.ts';

/** The situation, and what the applier needs in addition. */
export interface Gathered {
  readonly situation: Situation;
  readonly record?: LedgerRecord;
  /** The operator's delivery Secrets, as stored. */
  readonly secrets: ReadonlyMap<string, Secret>;
  readonly recipient?: Recipient;
  /** The waiting key pair, sealed. */
  readonly pair?: GeneratedKey;
  /** How long passes have failed: see `isGivenUp`. */
  readonly failingFor: Duration;
}

export function registrationKey({ namespace, name }: Situation): ObjectKey {
  return `${namespace}/${name}`;
}

export function withSituation(gathered: Gathered, change: Partial<Situation>): Gathered {
  return { ...gathered, situation: { ...gathered.situation, ...change } };
}

export function withoutPair(gathered: Gathered): Gathered {
  const { pair: _, ...rest } = gathered;
  const { pair: __, generating: ___, ...situation } = gathered.situation;
  return { ...rest, situation };
}

export function withLtiKey(gathered: Gathered, key: LtiKey): Gathered {
  const others = gathered.situation.ltiKeys.filter(({ metadata }) => metadata.name !== key.metadata.name);
  return withSituation(gathered, { ltiKeys: [...others, key] });
}
