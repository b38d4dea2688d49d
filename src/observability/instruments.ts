import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** A row of the table, its labels kept as types. */
interface Row<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly Label[];
}

export type Labels<Label extends string> = Readonly<Record<Label, string>>;

type Samples<Label extends string> = Iterable<readonly [Labels<Label>, number | undefined]>;

export function counter<Label extends string>(registry: Registry, row: Row<Label>): Counter<Label> {
  return new Counter({ name: row.name, help: row.help, labelNames: row.labels, registers: [registry] });
}

export function gauge<Label extends string>(registry: Registry, row: Row<Label>): Gauge<Label> {
  return new Gauge({ name: row.name, help: row.help, labelNames: row.labels, registers: [registry] });
}

export function histogram<Label extends string>(
  registry: Registry,
  row: Row<Label> & { readonly buckets: readonly number[] },
): Histogram<Label> {
  const { name, help, labels, buckets } = row;
  return new Histogram({ name, help, labelNames: labels, buckets: [...buckets], registers: [registry] });
}

/** A gauge whose series are exactly what `samples` gives at each scrape; a sample without a value has no series. */
export function computedGauge<Label extends string>(
  registry: Registry,
  row: Row<Label>,
  samples: () => Samples<Label> | Promise<Samples<Label>>,
): void {
  const computed = new Gauge({
    name: row.name,
    help: row.help,
    labelNames: row.labels,
    registers: [],
    async collect() {
      const found = await samples();
      this.reset();
      // Without labels, reset leaves a series with the value 0.
      if (row.labels.length === 0) this.remove();
      for (const [labels, value] of found) if (value !== undefined) this.set(labels, value);
    },
  });
  registry.registerMetric(computed);
}

/** A counter whose totals are kept elsewhere and read at each scrape. */
export function computedCounter<Label extends string>(
  registry: Registry,
  row: Row<Label>,
  totals: () => Samples<Label>,
): void {
  const computed = new Counter({
    name: row.name,
    help: row.help,
    labelNames: row.labels,
    registers: [],
    collect() {
      this.reset();
      for (const [labels, total] of totals()) if (total !== undefined) this.inc(labels, total);
    },
  });
  registry.registerMetric(computed);
}

/** Seconds since the epoch, as Prometheus has times. */
export function epochSeconds(time: Date | undefined): number | undefined {
  return time === undefined ? undefined : time.getTime() / 1000;
}
