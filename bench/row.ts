/** One line of the table. `value` is what was measured, `ratio` how that compares; the limit is on one of the two. */
export interface Row {
  readonly name: string;
  /** In `unit`. */
  readonly value: number;
  readonly unit: string;
  /** Absent for a figure that is only reported. */
  readonly limit?: Limit;
  /** To the yardstick of the same run; where there is none, to the limit itself. */
  readonly ratio: number;
  /** What helps to read the figure, one line each. */
  readonly notes?: readonly string[];
}

export type Limit =
  | { readonly of: 'ratio'; readonly atMost: number }
  | { readonly of: 'ratio'; readonly atLeast: number }
  | { readonly of: 'value'; readonly atMost: number };

export interface MeasurementOptions {
  /** How many registrations the rows about scale have. */
  readonly registrations: number;
  /** How long the rows about a long run take. */
  readonly minutes: number;
}

/** One run of something that gives several rows. */
export interface Measurement {
  readonly rows: readonly string[];
  /** Too long to be run unless it is asked for. */
  readonly onlyByName?: boolean;
  /** Gives at least these rows, in this order. */
  measure(options: MeasurementOptions): Promise<readonly Row[]>;
}

/** A row whose value is compared with nothing but its limit. */
export function bounded(row: Omit<Row, 'limit' | 'ratio'>, atMost: number): Row {
  return { ...row, limit: { of: 'value', atMost }, ratio: row.value / atMost };
}

export function passes({ value, ratio, limit }: Row): boolean {
  if (limit === undefined) return true;
  const figure = limit.of === 'ratio' ? ratio : value;
  return 'atMost' in limit ? figure <= limit.atMost : figure >= limit.atLeast;
}

/** As `--json` writes it: the limit of `ratio`, or for memory and times of `value`; null where there is none. */
export function toJson({ name, value, unit, limit, ratio }: Row): object {
  return {
    name,
    value: round(value),
    unit,
    limit: limit === undefined ? null : 'atMost' in limit ? limit.atMost : limit.atLeast,
    ratio: round(ratio),
  };
}

export function table(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.name,
    String(round(row.value)),
    row.unit,
    row.limit === undefined ? '' : limitText(row.limit),
    row.ratio.toFixed(2),
    row.limit === undefined ? '' : passes(row) ? 'pass' : 'FAIL',
  ]);
  const lines = [['name', 'value', 'unit', 'limit', 'ratio', ''], ...cells];
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const text = lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  return text
    .flatMap((line, index) => [line, ...(rows[index - 1]?.notes ?? []).map((note) => `    ${note}`)])
    .join('\n');
}

function limitText(limit: Limit): string {
  return `${limit.of} ${'atMost' in limit ? `≤ ${limit.atMost}` : `≥ ${limit.atLeast}`}`;
}

function round(figure: number): number {
  return Number(figure.toPrecision(4));
}
