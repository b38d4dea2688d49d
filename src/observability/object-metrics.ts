import type { RegistrationConditionType } from '../api/conditions.ts';
import { type KeyState, keyStates } from '../domain/key-state.ts';
import { epochSeconds } from './instruments.ts';
import type { MetricRow } from './metric-table.ts';
import { registrationTable } from './registration-table.ts';
import { header, seriesLine } from './text-format.ts';

/** A condition that is not as it should be. */
export interface Trouble {
  readonly type: RegistrationConditionType;
  readonly status: string;
  readonly reason: string;
}

/** What is said of one registration; each member is asked for once a scrape, and may be computed then. */
export interface RegistrationMetrics {
  readonly namespace: string;
  readonly name: string;
  readonly ready: boolean;
  readonly suspended: boolean;
  readonly activeKeyCreatedAt?: Date | undefined;
  readonly activeKeyActivatedAt?: Date | undefined;
  readonly nextRotationAt?: Date | undefined;
  readonly rotateAfterSeconds?: number | undefined;
  readonly troubles: readonly Trouble[];
}

export interface OrphanMetrics {
  readonly namespace: string;
  readonly name: string;
  readonly publishedKeys: number;
}

/** What the leader has seen, at the moment of a scrape. */
export interface ObjectSnapshot {
  /** Gone over several times. */
  readonly registrations: { readonly length: number } & Iterable<RegistrationMetrics>;
  readonly keysByState: ReadonlyMap<KeyState, number>;
  /** Registrations that are gone while keys of theirs are still published. */
  readonly orphans: readonly OrphanMetrics[];
}

type Labels = Readonly<Record<string, string>>;
type Value = (of: RegistrationMetrics) => number | undefined;

const perRegistration: readonly (readonly [MetricRow, Value])[] = [
  [registrationTable.ready, ({ ready }) => (ready ? 1 : 0)],
  [registrationTable.suspended, ({ suspended }) => (suspended ? 1 : undefined)],
  [registrationTable.keyCreated, (of) => epochSeconds(of.activeKeyCreatedAt)],
  [registrationTable.keyActivated, (of) => epochSeconds(of.activeKeyActivatedAt)],
  // Its status may lag behind a spec that was suspended.
  [registrationTable.nextRotation, (of) => (of.suspended ? undefined : epochSeconds(of.nextRotationAt))],
  [registrationTable.rotateAfter, (of) => of.rotateAfterSeconds],
];

/**
 * The series of all registrations, a line at a time: at most ten for each, in a text that is never held as a whole, computed
 * from the caches, so that what is deleted leaves nothing behind.
 */
export function* objectMetrics({ registrations, keysByState, orphans }: ObjectSnapshot): Generator<string> {
  yield* family(registrationTable.registrations, [[{}, registrations.length]]);
  yield* family(
    registrationTable.keys,
    keyStates.map((state) => [{ state }, keysByState.get(state) ?? 0]),
  );
  for (const [row, value] of perRegistration) yield* family(row, samples(registrations, value));
  yield* family(registrationTable.condition, troubles(registrations));
  yield* family(
    registrationTable.orphanedKeys,
    orphans.map((of) => [labelsOf(of), of.publishedKeys]),
  );
}

function* family(
  row: MetricRow,
  series: Iterable<readonly [labels: Labels, value: number | undefined]>,
): Generator<string> {
  yield header(row);
  for (const [labels, value] of series) {
    if (value !== undefined && !Number.isNaN(value)) yield seriesLine(row.name, labels, value);
  }
}

function* samples(
  registrations: Iterable<RegistrationMetrics>,
  value: Value,
): Generator<readonly [Labels, number | undefined]> {
  for (const of of registrations) yield [labelsOf(of), value(of)];
}

/** As numbers, so that a rule can tell no from unknown. */
const statusValue: Readonly<Record<string, number>> = { True: 1, False: 0, Unknown: -1 };

function* troubles(registrations: Iterable<RegistrationMetrics>): Generator<readonly [Labels, number | undefined]> {
  for (const of of registrations) {
    for (const { type, status, reason } of of.troubles) yield [{ ...labelsOf(of), type, reason }, statusValue[status]];
  }
}

function labelsOf({ namespace, name }: { readonly namespace: string; readonly name: string }): Labels {
  return { namespace, registration: name };
}
