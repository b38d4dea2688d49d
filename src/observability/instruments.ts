import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { HistogramRow, MetricRow } from './metric-table.ts';

export type Labels<Label extends string> = Readonly<Record<Label, string>>;

type Samples<Label extends string> = Iterable<readonly [Labels<Label>, number | undefined]>;

export function counter<Label extends string>(registry: Registry, { name, help, labels }: MetricRow<Label>) {
  return new Counter({ name, help, labelNames: labels, registers: [registry] });
}

export function gauge<Label extends string>(registry: Registry, { name, help, labels }: MetricRow<Label>) {
  return new Gauge({ name, help, labelNames: labels, registers: [registry] });
}

export function histogram<Label extends string>(registry: Registry, row: HistogramRow<Label>) {
  const { name, help, labels, buckets } = row;
  return new Histogram({ name, help, labelNames: labels, buckets: [...buckets], registers: [registry] });
}

/** A gauge whose series are what `samples` returns at each scrape. A sample without a value has no series. */
export function computedGauge<Label extends string>(
  registry: Registry,
  { name, help, labels }: MetricRow<Label>,
  samples: () => Samples<Label> | Promise<Samples<Label>>,
): void {
  const computed = new Gauge({
    name,
    help,
    labelNames: labels,
    registers: [],
    async collect() {
      const found = await samples();
      this.reset();
      // Without labels, reset leaves a series with the value 0.
      if (labels.length === 0) this.remove();
      for (const [of, value] of found) if (value !== undefined) this.set(of, value);
    },
  });
  registry.registerMetric(computed);
}

/** A counter whose totals are kept elsewhere and read at each scrape. */
export function computedCounter<Label extends string>(
  registry: Registry,
  { name, help, labels }: MetricRow<Label>,
  totals: () => Samples<Label>,
): void {
  const computed = new Counter({
    name,
    help,
    labelNames: labels,
    registers: [],
    collect() {
      this.reset();
      for (const [of, total] of totals()) if (total !== undefined) this.inc(of, total);
    },
  });
  registry.registerMetric(computed);
}

/** Seconds since the epoch, the unit of timestamps in Prometheus. */
export function epochSeconds(time: Date | undefined): number | undefined {
  return time === undefined ? undefined : time.getTime() / 1000;
}
