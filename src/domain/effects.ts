import { ledgerSecretName } from '../api/names.ts';
import type { EventReason } from '../api/reasons.ts';
import type { Transition } from './transition.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import type { Cause, Ledger } from './ledger.ts';
import type { DeliveryMetadata } from './situation.ts';
import type { Instant } from './duration.ts';

/** Everything that the operator can do, as data. A decision lists effects in the order in which they are to be carried out. */
export type Effect =
  /** Asks for a key pair; it is ready at a later decision. `urgent`: a revocation waits for it. */
  | { readonly kind: 'generate'; readonly size: number; readonly urgent: boolean }
  /**
   * Creates the ledger Secret, or writes over the version that was read. `pair`: the waiting key pair is stored with it;
   * `reseal`: these private keys are sealed anew under the present key-encryption key.
   */
  | {
      readonly kind: 'writeLedger';
      readonly ledger: Ledger;
      readonly create: boolean;
      readonly pair: boolean;
      readonly reseal: readonly string[];
      readonly cause?: Cause;
      /** Why it is written, for the log. */
      readonly reasons: readonly string[];
      readonly announcements: readonly Announcement[];
    }
  | { readonly kind: 'removeLedger' }
  /** Creates an LtiKey, without its status. */
  | { readonly kind: 'createKey'; readonly key: LtiKey }
  /** Writes the status of an LtiKey. */
  | { readonly kind: 'showKey'; readonly key: LtiKey }
  | { readonly kind: 'removeKey'; readonly key: LtiKey }
  /** Creates or replaces a delivery Secret. */
  | { readonly kind: 'deliver'; readonly content: DeliveryContent }
  | { readonly kind: 'removeDelivery'; readonly secretName: string };

/** What a delivery Secret is to hold. */
export interface DeliveryContent {
  readonly secretName: string;
  /** Whose private half it holds, in the forms that tools read; without it, none. */
  readonly keyID?: string;
  /** The entries that are not secret, as text. */
  readonly entries: Readonly<Record<string, string>>;
  readonly metadata: DeliveryMetadata;
  /** Of the ledger it was decided from. */
  readonly serial: number;
}

export interface Decision {
  readonly effects: readonly Effect[];
  /** What the registration says once nothing is left to do; absent: nothing is written. */
  readonly status?: NonNullable<LtiRegistration['status']>;
  /** When to look again at the latest. */
  readonly nextCheckAt?: Instant;
}

/** Names an effect among those of one registration; a refused one is known by it. */
export function effectID(effect: Effect): string {
  switch (effect.kind) {
    case 'createKey':
    case 'showKey':
    case 'removeKey':
      return `${effect.kind} ${effect.key.metadata.name}`;
    case 'deliver':
      return `${effect.kind} ${effect.content.secretName}`;
    case 'removeDelivery':
      return `${effect.kind} ${effect.secretName}`;
    default:
      return effect.kind;
  }
}

/** What an effect writes, in the words that people and metrics are told of a refusal. */
export interface Target {
  readonly verb: string;
  readonly object: string;
  /** Its plural, with the subresource. */
  readonly resource: string;
}

export function targetOf(namespace: string, registration: string, effect: Effect): Target {
  const secret = (verb: string, name: string): Target => ({
    verb,
    object: `Secret ${namespace}/${name}`,
    resource: 'secrets',
  });
  const key = (verb: string, { metadata }: LtiKey): Target => ({
    verb,
    object: `LtiKey ${namespace}/${metadata.name}`,
    resource: 'ltikeys',
  });
  switch (effect.kind) {
    case 'createKey':
      return key('create', effect.key);
    case 'showKey':
      return { ...key('update the status of', effect.key), resource: 'ltikeys/status' };
    case 'removeKey':
      return key('delete', effect.key);
    case 'deliver':
      return secret('write', effect.content.secretName);
    case 'removeDelivery':
      return secret('delete', effect.secretName);
    case 'removeLedger':
      return secret('delete', ledgerSecretName(registration));
    default:
      return secret(
        effect.kind === 'writeLedger' && effect.create ? 'create' : 'update',
        ledgerSecretName(registration),
      );
  }
}

/** What people are told in an event and a log line. */
export interface Announcement {
  readonly type: 'Normal' | 'Warning';
  readonly reason: EventReason;
  readonly message: string;
}

const announced = ['KeyActivated', 'KeyRetired', 'KeyRevoked', 'NextKeyDiscarded', 'RotationRequested'] as const;

/** Of the steps of a key's life those that people want to be told of; the others show in conditions and metrics. */
export function announcementsOf(transitions: readonly Transition[]): readonly Announcement[] {
  return transitions.flatMap(({ reason, message }) => {
    const told = announced.find((name) => name === reason);
    return told ? [{ type: 'Normal', reason: told, message }] : [];
  });
}

/** Conditions whose changes are told. A new message tells of another key or object only where a person has to act on it. */
const watched = [
  { type: 'Stalled', bad: 'True', byMessage: false },
  { type: 'ActionRequired', bad: 'True', byMessage: true },
  { type: 'Ready', bad: 'False', byMessage: false },
] as const;

/** What changed between two statuses: what is in the way, and that it no longer is. */
export function announcementsBetween(
  before: LtiRegistration['status'],
  after: NonNullable<LtiRegistration['status']>,
): readonly Announcement[] {
  return watched.flatMap(({ type, bad, byMessage }): Announcement[] => {
    const was = before?.conditions?.find((condition) => condition.type === type);
    const is = after.conditions?.find((condition) => condition.type === type);
    if (!is || (was?.status === is.status && was.reason === is.reason && !(byMessage && was.message !== is.message))) {
      return [];
    }
    // That nothing is wrong with a new registration is no news, and that its first key signs was told of the key.
    if (is.status !== bad && was === undefined) return [];
    // What a registration waits for in its first moments is no warning.
    if (type === 'Ready' && is.status === bad && was?.status !== 'True') return [];
    // oxlint-disable-next-line no-unsafe-type-assertion -- conditions are written with reasons of the table alone
    const reason = is.reason as EventReason;
    return [{ type: is.status === bad ? 'Warning' : 'Normal', reason, message: is.message }];
  });
}
