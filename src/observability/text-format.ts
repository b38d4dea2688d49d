/** Prometheus's text format, a line at a time, for what is too much to be one string. */

/** The two lines that come before the series of a metric. */
export function header({
  name,
  type,
  help,
}: {
  readonly name: string;
  readonly type: string;
  readonly help: string;
}): string {
  return `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${name} ${type}\n`;
}

export function seriesLine(name: string, labels: Readonly<Record<string, string>>, value: number): string {
  let pairs = '';
  for (const label in labels) pairs += `${pairs === '' ? '' : ','}${label}="${escaped(labels[label]!)}"`;
  return pairs === '' ? `${name} ${value}\n` : `${name}{${pairs}} ${value}\n`;
}

function escaped(value: string): string {
  if (!/["\\\n]/.test(value)) return value;
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
