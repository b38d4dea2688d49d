/** What a dashboard shows, as data: grafana.ts makes Grafana's JSON of it, and drawing.ts a picture. */

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  /** In the order of their choice: the values of one may depend on those before it. */
  readonly variables: readonly Variable[];
  readonly rows: readonly Row[];
}

export interface Variable {
  readonly name: string;
  /** Such as `label_values(lti_registration_ready, namespace)`. */
  readonly query: string;
  /** Begins with every value chosen, also that of series without the label. */
  readonly all?: boolean;
}

export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

/** A number, lines over time, a table of the present, or states over time. */
export type PanelKind = 'number' | 'lines' | 'table' | 'states';

export interface Panel {
  readonly kind: PanelKind;
  readonly title: string;
  /** What it means, and what to do about it. */
  readonly help: string;
  /** Of 24 columns. */
  readonly width: number;
  /** As Grafana names it; a plain number without. */
  readonly unit?: Unit;
  readonly queries: readonly Query[];
  /** A number above this one is red. */
  readonly alarmAbove?: number;
  /** Of states: the text of each value. */
  readonly meanings?: Readonly<Record<string, string>>;
  /** Links each row or line to the dashboard of its registration. */
  readonly linksToRegistration?: boolean;
}

export type Unit = 's' | 'percentunit' | 'reqps' | 'bytes' | 'dateTimeAsIso' | 'ops';

export interface Query {
  readonly expr: string;
  /** Such as `{{state}}`. */
  readonly legend: string;
}

/** A selector of the clusters that the user chose. */
export function of(metric: string, ...matchers: readonly string[]): string {
  return `${metric}{${['cluster=~"$cluster"', ...matchers].join(',')}}`;
}

/** One series per registration, also while two replicas report it. */
export function perRegistration(selector: string, ...labels: readonly string[]): string {
  return `max by (${['cluster', 'namespace', 'registration', ...labels].join(', ')}) (${selector})`;
}

/** The sum over a grouping, or 0 if there is no series. */
export function orZero(expr: string): string {
  return `${expr} or vector(0)`;
}

/** Per second, over a time that Grafana derives from the scrape interval. */
export function rate(selector: string): string {
  return `rate(${selector}[$__rate_interval])`;
}

/** Series of this operator's processes, of a metric that other programs report, too. */
export function ours(expr: string): string {
  return `(${expr} and on (cluster, job, instance) ${of('lti_build_info')})`;
}

export const cluster: Variable = { name: 'cluster', query: 'label_values(lti_build_info, cluster)', all: true };

export const registrationUid = 'lti-registration';
