import { ledgerSecretName } from '../api/names.ts';
import type { EventReason } from '../api/reasons.ts';
import type { Cause, Ledger, Transition } from './ledger.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import type { DeliveryMetadata, Refusal, Situation } from './situation.ts';
import type { Instant } from './duration.ts';
import { refusalMessage } from './verdict.ts';

/** Everything that the operator can do, as data. A decision lists effects in the order in which they are carried out. */
export type Effect =
  /** Requests a key pair, which is ready at a later decision. `urgent`: a revocation waits for it. */
  | { readonly kind: 'generate'; readonly size: number; readonly urgent: boolean }
  /**
   * Creates the ledger Secret, or replaces the version that was read. `pair`: the waiting key pair is stored with it;
   * `reseal`: these private keys are resealed under the present key-encryption key.
   */
  | LedgerWrite
  | { readonly kind: 'removeLedger' }
  /** Creates an LtiKey, without its status. */
  | { readonly kind: 'createKey'; readonly key: LtiKey }
  /** Writes the status of an LtiKey. */
  | { readonly kind: 'showKey'; readonly key: LtiKey }
  | { readonly kind: 'removeKey'; readonly key: LtiKey }
  /** Creates or replaces a delivery Secret. */
  | { readonly kind: 'deliver'; readonly content: DeliveryContent }
  | { readonly kind: 'removeDelivery'; readonly secretName: string };

interface LedgerWrite {
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

export function ledgerWrite(ledger: Ledger, reasons: readonly string[], more: Partial<LedgerWrite>): Effect {
  return { kind: 'writeLedger', ledger, create: false, pair: false, reseal: [], reasons, announcements: [], ...more };
}

/** The content of a delivery Secret. */
export interface DeliveryContent {
  readonly secretName: string;
  /** The key whose private half it holds; if omitted, it holds none. */
  readonly keyID?: string;
  /** The entries to make from the private half. */
  readonly keyFiles: readonly string[];
  /** The entries without private keys, as text. */
  readonly entries: Readonly<Record<string, string>>;
  readonly metadata: DeliveryMetadata;
  /** The serial of the ledger that it was decided from. */
  readonly serial: number;
}

export interface Decision {
  readonly effects: readonly Effect[];
  /** The status to write once all effects are carried out; if omitted, none is written. */
  readonly status?: NonNullable<LtiRegistration['status']>;
  /** When to check again at the latest. */
  readonly nextCheckAt?: Instant;
}

/** Identifies an effect among those of one registration, such as one that was refused. */
export function effectID(effect: Effect): string {
  switch (effect.kind) {
    case 'createKey':
    case 'showKey':
    case 'removeKey':
      return identify(effect.kind, effect.key.metadata.name);
    case 'deliver':
      return identify(effect.kind, effect.content.secretName);
    case 'removeDelivery':
      return identify(effect.kind, effect.secretName);
    default:
      return identify(effect.kind);
  }
}

/** Whether the API server refused the effect of this kind, on the LtiKey or delivery Secret with this name. */
export function isRefused({ refused }: Pick<Situation, 'refused'>, kind: Effect['kind'], name?: string): boolean {
  return refused.has(identify(kind, name));
}

/** Like {@link isRefused}, for an effect that was decided again. */
export function isRefusedEffect({ refused }: Pick<Situation, 'refused'>, effect: Effect): boolean {
  return refused.has(effectID(effect));
}

function identify(kind: Effect['kind'], name?: string): string {
  return name === undefined ? kind : `${kind} ${name}`;
}

/** The object that an effect writes, as messages and metrics about a refused write name it. */
export interface Target {
  readonly verb: string;
  readonly object: string;
  /** The resource, with the subresource. */
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

/** The content of an event and a log line. */
export interface Announcement {
  readonly type: 'Normal' | 'Warning';
  readonly reason: EventReason;
  readonly message: string;
}

export function announcementsOf(transitions: readonly Transition[]): readonly Announcement[] {
  return transitions.flatMap(({ reason, message }): Announcement[] =>
    message === undefined ? [] : [{ type: 'Normal', reason, message }],
  );
}

/** Conditions whose changes are announced. A new message alone is announced only if it asks for another action. */
const watched = [
  { type: 'Stalled', bad: 'True', byMessage: false },
  { type: 'ActionRequired', bad: 'True', byMessage: true },
  { type: 'Ready', bad: 'False', byMessage: false },
] as const;

/** The announcements if the status cannot be written: the refusal, and what the status would have changed. */
export function announcementsWithoutStatus(
  refusal: Refusal,
  before: LtiRegistration['status'],
  after: NonNullable<LtiRegistration['status']>,
): readonly Announcement[] {
  const unwritten: Announcement = { type: 'Warning', reason: 'WriteRefused', message: refusalMessage(refusal) };
  return [unwritten, ...announcementsBetween(before, after)];
}

/** The announcements of what changed between two statuses: new faults, and faults that were resolved. */
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
    // A new registration without a fault needs no announcement, and its first key has one of its own.
    if (is.status !== bad && was === undefined) return [];
    // A registration that was never ready is not a reason for a warning.
    if (type === 'Ready' && is.status === bad && was?.status !== 'True') return [];
    // oxlint-disable-next-line no-unsafe-type-assertion -- conditions are written with reasons of the table alone
    const reason = is.reason as EventReason;
    return [{ type: is.status === bad ? 'Warning' : 'Normal', reason, message: is.message }];
  });
}
