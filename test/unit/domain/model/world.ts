import type { LtiKey, LtiRegistration } from '../../../../src/api/objects.ts';
import { type Duration, type Instant, minute } from '../../../../src/domain/duration.ts';
import type { KeyFacts, Ledger, LedgerKey } from '../../../../src/domain/ledger.ts';
import { isShownPublished } from '../../../../src/domain/ltikeys.ts';
import { readRegistration, type Registration } from '../../../../src/domain/registration.ts';
import type { DefinitionReading, DeliverySecret } from '../../../../src/domain/situation.ts';
import type { TimingLimits } from '../../../../src/domain/timing.ts';
import { epoch } from '../../../builders/ledger.ts';
import { anLtiRegistration } from '../../../builders/registration.ts';

/**
 * One registration, everything that a decision about it depends on, and what really happened to its keys. Immutable, so that the
 * identity of an object is its resourceVersion.
 */
export interface World {
  /** The API server's time, which is the true one. */
  readonly real: Instant;
  /** How far the operator's clock is ahead of it. */
  readonly clockAhead: Duration;
  /** The LtiRegistration with its status, unless it was deleted. */
  readonly object: LtiRegistration | undefined;
  /** The registration as it was last applied. */
  readonly last: LtiRegistration;
  /** The spec of that. */
  readonly registration: Registration;
  /** Whether this process saw the last spec before the deletion. */
  readonly seen: boolean;
  /** When the object that `last` is of was created. */
  readonly appliedAt: Instant;
  /** The CustomResourceDefinition of registrations. */
  readonly definition: Extract<DefinitionReading, { kind: 'present' }>;
  /** The object disappeared with the definition, which no user asked to destroy keys for. */
  readonly swept: boolean;
  /** The newest ledger. `ledgerFault`: what happened to the Secret, which can be restored. */
  readonly ledger: Ledger | undefined;
  readonly ledgerFault: LedgerFault | undefined;
  /** The ledger before its last write, as in a backup. */
  readonly older: Ledger | undefined;
  /** LtiKeys by name. */
  readonly keys: ReadonlyMap<string, LtiKey>;
  /** The delivery Secrets of the registration by name. */
  readonly secrets: ReadonlyMap<string, Ours>;
  /** Whether delivery Secrets cannot be read. */
  readonly unreadable: boolean;
  /** Names of Secrets that do not belong to the operator. */
  readonly taken: ReadonlySet<string>;
  readonly replicas: readonly Replica[];
  /** The memory of the process: a key pair of this size is being generated, or this one waits. */
  readonly generating: number | undefined;
  readonly pair: KeyFacts | undefined;
  /** The number of key pairs generated so far. */
  readonly made: number;
  /** Writes of this kind are rejected until the fault is repaired. */
  readonly refused: WriteKind | undefined;
  readonly kekMissing: boolean;
  readonly damagedKeyID: string | undefined;
  /** Edits, faults and losses that may still happen. */
  readonly disturbances: number;
  /** When a client last fetched the document, and whether the replicas still report it. */
  readonly lastFetch: Instant | undefined;
  readonly fetchReported: boolean;
  /** The truth, which the operator does not see: since when every replica serves a key, and until when a tool had it. */
  readonly servedSince: ReadonlyMap<string, Instant>;
  readonly signedUntil: ReadonlyMap<string, Instant>;
  /** Keys that the registration revokes and that have been neither published nor delivered since. */
  readonly left: ReadonlySet<string>;
}

export type Ours = Extract<DeliverySecret, { kind: 'ours' }>;
export type LedgerFault = 'missing' | 'corrupt' | 'rolledBack';
export type WriteKind = 'ledger' | 'createKey' | 'showKey' | 'deliver' | 'delete' | 'status';
export const writeKinds: readonly WriteKind[] = ['ledger', 'createKey', 'showKey', 'deliver', 'delete', 'status'];

export interface Replica {
  readonly serves: ReadonlySet<string>;
  readonly answers: boolean;
}

/**
 * All times of the search lie on a grid of ticks. The jitter of rotateAfter (at most 4 min) and the publication margin
 * (2 min) together stay under a tick, so that a deadline falls to the same tick for every revision.
 */
export const tick: Duration = 20 * minute;
export const timing = { activationDelay: tick, overlap: tick, longerOverlap: 2 * tick, rotateAfter: 4 * tick };
export const cacheLifetime: Duration = tick;
export const limits: TimingLimits = { minimumOverlap: tick, minimumActivationDelay: tick };

export type Spec = LtiRegistration['spec'];

export function newWorld(disturbances: number, spec: Partial<Spec> = {}): World {
  const object = anLtiRegistration({
    platform: 'Canvas',
    activationDelay: '20m',
    overlap: '20m',
    rotateAfter: '80m',
    keyHistoryLimit: 1,
    delivery: { secretName: 'a' },
    rotationTrigger: '0',
    ...spec,
  });
  return {
    real: epoch,
    clockAhead: 0,
    object,
    last: object,
    registration: readRegistration(object),
    seen: true,
    appliedAt: epoch,
    definition: { kind: 'present', createdAt: epoch - tick, isTerminating: false },
    swept: false,
    ledger: undefined,
    ledgerFault: undefined,
    older: undefined,
    keys: new Map(),
    secrets: new Map(),
    unreadable: false,
    taken: new Set(),
    replicas: [
      { serves: new Set(), answers: true },
      { serves: new Set(), answers: true },
    ],
    generating: undefined,
    pair: undefined,
    made: 0,
    refused: undefined,
    kekMissing: false,
    damagedKeyID: undefined,
    disturbances,
    lastFetch: undefined,
    fetchReported: false,
    servedSince: new Map(),
    signedUntil: new Map(),
    left: new Set(),
  };
}

/** The ledger as it can be read: none if it is missing or corrupt, an older one if that was restored over it. */
export function readableLedger({ ledger, ledgerFault, older }: World): Ledger | undefined {
  if (ledgerFault === undefined) return ledger;
  return ledgerFault === 'rolledBack' ? older : undefined;
}

/** The row of the newest ledger. */
export function rowOf({ ledger }: World, keyID: string): LedgerKey | undefined {
  return ledger?.keys.find((key) => key.keyID === keyID);
}

export function isServedByAll({ replicas }: World, keyID: string): boolean {
  return replicas.every(({ serves, answers }) => answers && serves.has(keyID));
}

export function isPublished({ keys }: World, keyID: string): boolean {
  for (const key of keys.values()) if (key.spec.keyID === keyID && isShownPublished(key)) return true;
  return false;
}

export function isDelivered({ secrets }: World, keyID: string): boolean {
  for (const secret of secrets.values()) if (secret.keyID === keyID) return true;
  return false;
}

/** The IDs of the keys that a tool can sign with now: the delivered ones or, without delivery, the active one. */
function signing({ secrets, ledger }: World): readonly string[] {
  const delivered = [...secrets.values()].flatMap(({ keyID }) => (keyID === undefined ? [] : [keyID]));
  return secrets.size === 0 && ledger?.activeKeyID !== undefined ? [ledger.activeKeyID] : delivered;
}

/** The world with the truth updated after something happened. */
export function observed(world: World): World {
  const { real, servedSince, signedUntil, left, registration, replicas } = world;
  const since = [...replicas[0]!.serves].filter((keyID) => !servedSince.has(keyID) && isServedByAll(world, keyID));
  const until = signing(world).filter((keyID) => signedUntil.get(keyID) !== real);
  const { revokedKeyIDs } = registration;
  const gone = [...revokedKeyIDs].filter(
    (keyID) => !left.has(keyID) && !isPublished(world, keyID) && !isDelivered(world, keyID),
  );
  const back = [...left].some((keyID) => !revokedKeyIDs.has(keyID));
  if (since.length + until.length + gone.length === 0 && !back) return world;
  return {
    ...world,
    servedSince: new Map([...servedSince, ...since.map((keyID) => [keyID, real] as const)]),
    signedUntil: new Map([...signedUntil, ...until.map((keyID) => [keyID, real] as const)]),
    left: new Set([...[...left].filter((keyID) => revokedKeyIDs.has(keyID)), ...gone]),
  };
}
