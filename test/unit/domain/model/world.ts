import { type Duration, type Instant, minute } from '../../../../src/domain/duration.ts';
import type { KeyState } from '../../../../src/domain/jwk.ts';
import { emptyLedger, type Ledger } from '../../../../src/domain/ledger.ts';
import type { Registration } from '../../../../src/domain/registration.ts';
import type { TimingLimits } from '../../../../src/domain/timing.ts';
import { epoch } from '../../../builders/ledger.ts';
import { aRegistration } from '../../../builders/registration.ts';

/** One registration, everything that its lifecycle depends on, and what really happened to its keys. Never edited. */
export interface World {
  /** The true time, which is also the API server's. */
  readonly real: Instant;
  /** What the operator's clock is ahead of it. */
  readonly clockAhead: Duration;
  readonly registration: Registration;
  readonly ledger: Ledger;
  /** What a second, slower controller may have read before the last write of the ledger and still acts on. */
  readonly earlier?: { readonly ledger: Ledger; readonly wanted: string | undefined };
  /** Key ID → what the LtiKey shows. */
  readonly faces: ReadonlyMap<string, Face>;
  /** Name → what the delivery Secret holds. */
  readonly secrets: ReadonlyMap<string, Delivered>;
  /** The key IDs that every ready replica serves. */
  readonly served: ReadonlySet<string>;
  readonly kekMissing: boolean;
  readonly damagedKeyID: string | undefined;
  /** Edits, faults and losses that may still happen. */
  readonly disturbances: number;
  /** The truth, which the operator does not see: since when all replicas have served a key, until when a tool had it. */
  readonly servedSince: ReadonlyMap<string, Instant>;
  readonly signedUntil: ReadonlyMap<string, Instant>;
}

export interface Face {
  readonly state: KeyState;
  readonly serial: number;
}

export interface Delivered {
  readonly keyID: string | undefined;
  /** `jwks.json`: the live key IDs. */
  readonly listed: string;
  readonly serial: number;
}

/**
 * All times of the search lie on a grid of ticks. The jitter of rotateAfter (at most 4 min) and the publication margin
 * (2 min) together stay under a tick, so that a deadline falls to the same tick for every revision.
 */
export const tick: Duration = 20 * minute;
export const timing = { activationDelay: tick, overlap: tick, longerOverlap: 2 * tick, rotateAfter: 4 * tick };
export const limits: TimingLimits = { minimumOverlap: tick };

export function newWorld(disturbances: number, more: Partial<Registration> = {}): World {
  const { activationDelay, overlap, rotateAfter } = timing;
  const registration = aRegistration({
    activationDelay,
    overlap,
    rotateAfter,
    keyHistoryLimit: 1,
    deliverySecretName: 'a',
    rotationTrigger: '0',
    rotateRequest: '0',
    ...more,
  });
  return {
    real: epoch,
    clockAhead: 0,
    registration,
    ledger: emptyLedger(registration.namespace, registration.name),
    faces: new Map(),
    secrets: new Map(),
    served: new Set(),
    kekMissing: false,
    damagedKeyID: undefined,
    disturbances,
    servedSince: new Map(),
    signedUntil: new Map(),
  };
}

/** The key IDs that some tool can sign with at this moment: the delivered ones, and without delivery the active one. */
export function signing(world: World): readonly string[] {
  const delivered = [...world.secrets.values()].flatMap(({ keyID }) => (keyID === undefined ? [] : [keyID]));
  const { activeKeyID } = world.ledger;
  return world.secrets.size === 0 && activeKeyID !== undefined ? [activeKeyID] : delivered;
}

/** The world with the truth brought up to date after something happened. */
export function observed(world: World): World {
  const { real, served, servedSince, signedUntil } = world;
  const since = [...served].filter((keyID) => !servedSince.has(keyID));
  const until = signing(world).filter((keyID) => signedUntil.get(keyID) !== real);
  if (since.length + until.length === 0) return world;
  return {
    ...world,
    servedSince: new Map([...servedSince, ...since.map((keyID) => [keyID, real] as const)]),
    signedUntil: new Map([...signedUntil, ...until.map((keyID) => [keyID, real] as const)]),
  };
}
