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

/**
 * A gauge whose series are exactly what `samples` gives at each scrape; a sample without a value has no series. Nothing
 * is kept between scrapes, which with prom-client's `collect` would be a second copy of every label.
 */
export function computedGauge<Label extends string>(
  registry: Registry,
  row: Row<Label>,
  samples: () => Samples<Label> | Promise<Samples<Label>>,
): void {
  class ComputedGauge extends Gauge<Label> {
    override async get(): ReturnType<Gauge<Label>['get']> {
      return { ...(await super.get()), values: values(await samples()) };
    }
  }
  registry.registerMetric(new ComputedGauge({ name: row.name, help: row.help, labelNames: row.labels, registers: [] }));
}

/** A counter whose totals are kept elsewhere and read at each scrape. */
export function computedCounter<Label extends string>(
  registry: Registry,
  row: Row<Label>,
  totals: () => Samples<Label>,
): void {
  class ComputedCounter extends Counter<Label> {
    override async get(): ReturnType<Counter<Label>['get']> {
      return { ...(await super.get()), values: values(totals()) };
    }
  }
  registry.registerMetric(
    new ComputedCounter({ name: row.name, help: row.help, labelNames: row.labels, registers: [] }),
  );
}

function values<Label extends string>(samples: Samples<Label>): { labels: Labels<Label>; value: number }[] {
  const known: { labels: Labels<Label>; value: number }[] = [];
  for (const [labels, value] of samples) if (value !== undefined) known.push({ labels, value });
  return known;
}

/** Seconds since the epoch, as Prometheus has times. */
export function epochSeconds(time: Date | undefined): number | undefined {
  return time === undefined ? undefined : time.getTime() / 1000;
}
