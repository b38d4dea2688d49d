import { delimiter } from 'node:path';
import { parseArgs } from 'node:util';
import { formatDuration, parseDuration } from './domain/duration.ts';
import { parseAddress } from './lib/address.ts';
import { logFormats, type LogFormat, logLevels, type LogLevel } from './observability/log.ts';
import { type Command, type OptionRow, optionTable } from './option-table.ts';

/** Everything that is wrong with a command line, one sentence per line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** The options of the controller. Those without a default may be absent. */
export interface ControllerConfig extends PublisherConfig {
  /** At least one of `kekDir` and `kmsSocket` is present. */
  readonly kekDir?: string;
  readonly kmsSocket?: string;
  readonly leaderElect: boolean;
  readonly jwksProbeUrls: readonly string[];
  readonly jwksService: string;
  /** Absent if fetches are not to be collected. */
  readonly jwksAdminPort?: number;
  readonly jwksPublicUrl?: string;
  readonly jwksPublicCaFile?: string;
  readonly minimumOverlap: number;
  readonly minimumActivationDelay?: number;
  readonly resync: number;
}

export interface PublisherConfig extends LogConfig {
  /** Files, possibly none: see loadKubeConfig. */
  readonly kubeconfig: readonly string[];
  readonly namespaces: readonly string[];
  readonly publishDir: string;
  readonly metricsAddress: string;
  readonly clusterDocument: boolean;
  readonly kubeApiQps: number;
  readonly kubeApiBurst: number;
}

export interface JwksConfig {
  readonly publishDir: string;
  readonly address: string;
  readonly adminAddress: string;
  readonly maxAge: number;
  /** Seconds. */
  readonly keepAlive: number;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

export interface LogConfig {
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}

interface Configs {
  readonly controller: ControllerConfig;
  readonly publisher: PublisherConfig;
  readonly jwks: JwksConfig & LogConfig;
}

/** The options of a command, told apart by `command`. */
type Config<C extends Command> = { [K in C]: Configs[K] & { readonly command: K } }[C];

/** status.jwksURL is the base URL and a path, at most 2048 characters. */
const longestBaseUrl = 1024;
/** The port of the default of `--admin-address`. */
const defaultAdminPort = 8081;
/** Members whose name is not that of the option in camel case, because they hold several values. */
const plurals: Readonly<Record<string, string>> = { namespace: 'namespaces', 'jwks-probe-url': 'jwksProbeUrls' };

/** Reads the arguments after the command, and `KUBECONFIG` of the environment. Throws one ConfigError with all problems. */
export function parseConfig<C extends Command>(
  command: C,
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = {},
): Config<C> {
  const rows = optionTable.filter((row) => row.commands.includes(command));
  const problems: string[] = [];
  const given = givenOptions(command, rows, args, problems);
  const config: Record<string, unknown> = { command };
  for (const row of rows) {
    const texts = given.get(row.name) ?? (row.default === undefined ? [] : [row.default]);
    if (row.required && texts.length === 0) problems.push(`--${row.name} is required. ${row.help}`);
    const values = texts.flatMap((text) => valueOf(row, text, problems));
    const member = plurals[row.name] ?? row.name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
    if (row.type === 'list' || row.type === 'urls') config[member] = Object.freeze([...new Set(values)]);
    else if (row.type === 'flag') config[member] = texts.length > 0;
    else if (values.length > 0) config[member] = values.at(-1);
  }
  if (rows.some(({ name }) => name === 'kubeconfig')) {
    const named = config['kubeconfig'] ?? (environment['KUBECONFIG'] ?? '').split(delimiter).filter(Boolean);
    config['kubeconfig'] = Object.freeze([named].flat());
  }
  // The host of a probe URL may be a proxy, so it has the report of a sidecar only if the user says where.
  if (command === 'controller' && !given.has('jwks-probe-url')) config['jwksAdminPort'] ??= defaultAdminPort;
  if ((config['tlsCert'] === undefined) !== (config['tlsKey'] === undefined)) {
    problems.push('--tls-cert and --tls-key require each other: give both, or neither to serve HTTP.');
  }
  if (command === 'controller' && config['kekDir'] === undefined && config['kmsSocket'] === undefined) {
    problems.push('--kek-dir or --kms-socket is required: the controller needs a source of key-encryption keys.');
  }
  if (problems.length > 0) throw new ConfigError(problems.join('\n'));
  return Object.freeze(config) as unknown as Config<C>;
}

function givenOptions(
  command: Command,
  rows: readonly OptionRow[],
  args: readonly string[],
  problems: string[],
): Map<string, string[]> {
  const options = Object.fromEntries(
    rows.map(({ name, type }) => [name, { type: type === 'flag' ? ('boolean' as const) : ('string' as const) }]),
  );
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true });
  const given = new Map<string, string[]>();
  for (const token of tokens) {
    if (token.kind === 'positional')
      problems.push(`Unexpected argument "${token.value}": options begin with --; see ${command} --help.`);
    if (token.kind !== 'option') continue;
    const row = rows.find(({ name }) => name === token.name);
    if (!row) problems.push(`Unknown option ${token.rawName}: see lti-key-operator ${command} --help.`);
    else if (row.type === 'flag' && token.value !== undefined)
      problems.push(`--${row.name} takes no value: write --${row.name} alone.`);
    else if (row.type !== 'flag' && !token.value) problems.push(`--${row.name} requires a value. ${row.help}`);
    else given.set(row.name, [...(given.get(row.name) ?? []), token.value ?? '']);
  }
  return given;
}

/** The value as a list of one, or an empty list after adding a problem. */
function valueOf(row: OptionRow, text: string, problems: string[]): readonly unknown[] {
  try {
    return [narrow(row, text)];
  } catch (error) {
    problems.push(`--${row.name}: ${error instanceof Error ? error.message : 'invalid value'}.`);
    return [];
  }
}

function narrow({ type, smallest = 0 }: OptionRow, text: string): unknown {
  switch (type) {
    case 'duration':
      if (parseDuration(text) < smallest)
        throw new Error(`"${text}" is less than the minimum, ${formatDuration(smallest)}`);
      return parseDuration(text);
    case 'seconds':
      if (!/^\d{1,5}$/.test(text) || Number(text) > 86_400)
        throw new Error(`"${text}" is not a whole number of seconds from 0 to 86400`);
      return Number(text);
    case 'number':
      if (!/^[1-9]\d{0,5}$/.test(text)) throw new Error(`"${text}" is not a whole number from 1 to 999999`);
      return Number(text);
    case 'port':
      if (!/^[1-9]\d{0,4}$/.test(text) || Number(text) > 65_535)
        throw new Error(`"${text}" is not a port from 1 to 65535`);
      return Number(text);
    case 'socket':
      return socketPath(text);
    case 'address':
      parseAddress(text);
      return text;
    case 'url':
    case 'urls':
      return baseUrl(text);
    case 'level':
      return oneOf(logLevels, text);
    case 'format':
      return oneOf(logFormats, text);
    default:
      return text;
  }
}

/** kube-apiserver writes the `endpoint` of a KMS plugin as `unix:///path`: the host is empty and the path absolute. */
function socketPath(text: string): string {
  const [, scheme, path = ''] = /^([a-z][a-z0-9+.-]*):(?:\/\/)?(.*)$/i.exec(text) ?? [];
  if (scheme === undefined) return text;
  if (scheme !== 'unix' || !/^\/[^/]/.test(path))
    throw new Error(`"${text}" is not a Unix socket: write a path or unix:///path`);
  return path;
}

function baseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash || url.username) {
    throw new Error(`"${text}" is not a base URL: write http:// or https://, a host and optionally a path`);
  }
  if (url.href.length > longestBaseUrl)
    throw new Error(`the URL is longer than ${longestBaseUrl} characters: shorten it`);
  return url.href.replace(/\/+$/, '');
}

function oneOf(values: readonly string[], text: string): string {
  if (!values.includes(text)) throw new Error(`"${text}" is not one of ${values.join(', ')}`);
  return text;
}

/** Placeholders for values in `--help`, where they differ from the name of the type. */
const placeholders: Readonly<Partial<Record<OptionRow['type'], string>>> = {
  list: 'name',
  socket: 'path',
  address: 'host:port',
  urls: 'url',
};

/** The text of `<command> --help`. */
export function helpText(command: Command): string {
  const lines = optionTable
    .filter((row) => row.commands.includes(command))
    .map((row) => {
      const value = row.type === 'flag' ? '' : ` <${placeholders[row.type] ?? row.type}>`;
      const suffix = row.default === undefined ? (row.required ? ' (required)' : '') : ` (default ${row.default})`;
      return `  --${row.name}${value}${suffix}\n      ${row.help}\n`;
    });
  return `Usage: lti-key-operator ${command} [options]\n\n${lines.join('')}`;
}
