import type { RegistrationConditionType } from '../api/conditions.ts';
import { type KeyState, keyStates } from '../domain/key-state.ts';
import { epochSeconds } from './instruments.ts';
import { type MetricRow, registrationTable } from './metric-table.ts';

/** A condition that reports a problem. */
export interface Trouble {
  readonly type: RegistrationConditionType;
  readonly status: string;
  readonly reason: string;
}

/** One registration. Each member is read once per scrape and may be a getter. */
export interface RegistrationMetrics {
  readonly namespace: string;
  readonly name: string;
  readonly ready: boolean;
  readonly suspended: boolean;
  readonly activeKeyActivatedAt?: Date | undefined;
  readonly nextRotationAt?: Date | undefined;
  readonly rotateAfterSeconds?: number | undefined;
  /** The epoch if it was never fetched. */
  readonly lastFetchAt?: Date | undefined;
  readonly troubles: readonly Trouble[];
}

export interface OrphanMetrics {
  readonly namespace: string;
  readonly name: string;
  readonly publishedKeys: number;
}

/** The leader's caches at the time of a scrape. */
export interface ObjectSnapshot {
  /** Iterated several times. */
  readonly registrations: { readonly length: number } & Iterable<RegistrationMetrics>;
  readonly keysByState: ReadonlyMap<KeyState, number>;
  /** Deleted registrations that still have published keys. */
  readonly orphans: readonly OrphanMetrics[];
}

type Labels = Readonly<Record<string, string>>;
type Value = (of: RegistrationMetrics) => number | undefined;

const perRegistration: readonly (readonly [MetricRow, Value])[] = [
  [registrationTable.ready, ({ ready }) => (ready ? 1 : 0)],
  [registrationTable.suspended, ({ suspended }) => (suspended ? 1 : undefined)],
  [registrationTable.keyActivated, (of) => epochSeconds(of.activeKeyActivatedAt)],
  // The status may be older than spec.suspend.
  [registrationTable.nextRotation, (of) => (of.suspended ? undefined : epochSeconds(of.nextRotationAt))],
  [registrationTable.rotateAfter, (of) => of.rotateAfterSeconds],
  [registrationTable.lastFetch, (of) => epochSeconds(of.lastFetchAt)],
];

/**
 * The metrics of all registrations in Prometheus's text format, line by line, because the whole text may be too long for one
 * string: at most ten series per registration. They come from the caches, so a deleted registration leaves no series.
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
  yield `# HELP ${row.name} ${row.help.replaceAll('\\', '\\\\')}\n# TYPE ${row.name} ${row.type}\n`;
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

/** Numbers, so that alert rules can distinguish False from Unknown. */
const statusValue: Readonly<Record<string, number>> = { True: 1, False: 0, Unknown: -1 };

function* troubles(registrations: Iterable<RegistrationMetrics>): Generator<readonly [Labels, number | undefined]> {
  for (const of of registrations) {
    for (const { type, status, reason } of of.troubles) yield [{ ...labelsOf(of), type, reason }, statusValue[status]];
  }
}

function labelsOf({ namespace, name }: { readonly namespace: string; readonly name: string }): Labels {
  return { namespace, registration: name };
}

function seriesLine(name: string, labels: Labels, value: number): string {
  let pairs = '';
  for (const label in labels) pairs += `${pairs === '' ? '' : ','}${label}="${escaped(labels[label]!)}"`;
  return pairs === '' ? `${name} ${value}\n` : `${name}{${pairs}} ${value}\n`;
}

function escaped(value: string): string {
  if (!/["\\\n]/.test(value)) return value;
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
