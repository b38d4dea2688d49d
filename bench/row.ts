/** One line of the table. `value` is the measured value, `ratio` compares it; the limit applies to one of the two. */
export interface Row {
  readonly name: string;
  /** In `unit`. */
  readonly value: number;
  readonly unit: string;
  /** Absent if the figure is only reported. */
  readonly limit?: Limit;
  /** The ratio to the baseline of the same run, or without a baseline to the limit. */
  readonly ratio: number;
  /** Explanations of the figure, one line each. */
  readonly notes?: readonly string[];
}

export type Limit =
  | { readonly of: 'ratio'; readonly atMost: number }
  | { readonly of: 'ratio'; readonly atLeast: number }
  | { readonly of: 'value'; readonly atMost: number };

export interface MeasurementOptions {
  /** The number of registrations in the rows about scale. */
  readonly registrations: number;
  /** The length of the rows about a long run. */
  readonly minutes: number;
}

/** One run that measures several rows. */
export interface Measurement {
  readonly rows: readonly string[];
  /** It takes long, so it runs only if its name is given. */
  readonly onlyByName?: boolean;
  /** Returns at least these rows, in this order. */
  measure(options: MeasurementOptions): Promise<readonly Row[]>;
}

/** A row without a baseline. */
export function bounded(row: Omit<Row, 'limit' | 'ratio'>, atMost: number): Row {
  return { ...row, limit: { of: 'value', atMost }, ratio: row.value / atMost };
}

export function passes({ value, ratio, limit }: Row): boolean {
  if (limit === undefined) return true;
  const figure = limit.of === 'ratio' ? ratio : value;
  return 'atMost' in limit ? figure <= limit.atMost : figure >= limit.atLeast;
}

/** The form of `--json`: `limit` applies to `ratio`, or for memory and times to `value`; null if there is none. */
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
