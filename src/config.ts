import { parseArgs } from 'node:util';
import { defaultMinimumOverlap } from './domain/timing.ts';
import { type Duration, formatDuration, minute, parseDuration, second } from './domain/duration.ts';
import { logFormats, type LogFormat, logLevels, type LogLevel } from './observability/log.ts';
import { parseAddress } from './observability/probes.ts';

/** Every option of every command: one table, from which parsing, `--help` and docs/configuration.md come. */

export type Command = 'controller' | 'publisher' | 'jwks';
export const commands: readonly Command[] = ['controller', 'publisher', 'jwks'];

type OptionType = 'text' | 'list' | 'flag' | 'duration' | 'seconds' | 'address' | 'url' | 'urls' | 'level' | 'format';

export interface OptionRow {
  readonly name: string;
  readonly type: OptionType;
  readonly commands: readonly Command[];
  /** As it would be written; absent: the option is left out or, if `required`, has to be given. */
  readonly default?: string;
  readonly required?: boolean;
  readonly smallest?: Duration;
  readonly help: string;
}

const reading: readonly Command[] = ['controller', 'publisher'];

export const optionTable: readonly OptionRow[] = [
  {
    name: 'kubeconfig',
    type: 'text',
    commands: reading,
    help: 'The kubeconfig file to use; without it $KUBECONFIG, and in a Pod its service account.',
  },
  {
    name: 'namespace',
    type: 'list',
    commands: reading,
    help: 'A namespace to work in; may be repeated. Without it, all namespaces.',
  },
  {
    name: 'kek-dir',
    type: 'text',
    commands: ['controller'],
    help: 'The directory of key-encryption keys: one file per key with 32 bytes in base64, and the file primary, which names the one that seals. This or --kms-socket is required.',
  },
  {
    name: 'kms-socket',
    type: 'text',
    commands: ['controller'],
    help: 'The unix socket of a Kubernetes KMS v2 plugin that holds the key-encryption key. With --kek-dir as well, the one that does not seal opens what it sealed.',
  },
  {
    name: 'publish-dir',
    type: 'text',
    commands,
    required: true,
    help: 'The publish directory, shared by the process that writes documents and the sidecar that serves them.',
  },
  {
    name: 'metrics-address',
    type: 'address',
    commands: reading,
    default: ':8082',
    help: 'Where /metrics, /healthz and /readyz are served.',
  },
  {
    name: 'leader-elect',
    type: 'flag',
    commands: ['controller'],
    help: 'Reconcile only while holding the Lease; every replica publishes.',
  },
  {
    name: 'jwks-probe-url',
    type: 'urls',
    commands: ['controller'],
    help: 'Base URL of a JWKS replica to ask whether a key is published; may be repeated. Without it, the ready endpoints of the Service lti-key-operator-jwks in the operator’s namespace.',
  },
  {
    name: 'jwks-public-url',
    type: 'url',
    commands: ['controller'],
    help: 'Base of the URLs that platforms are given. status.jwksURL begins with it, and a key must be served there, too, before it signs. At most 1024 characters.',
  },
  {
    name: 'cluster-document',
    type: 'flag',
    commands: reading,
    help: 'Publish the document of all namespaces as well; it merges their trust. With --namespace it is always published.',
  },
  {
    name: 'minimum-overlap',
    type: 'duration',
    commands: ['controller'],
    default: formatDuration(defaultMinimumOverlap),
    help: 'The floor for spec.overlap.',
  },
  {
    name: 'minimum-activation-delay',
    type: 'duration',
    commands: ['controller'],
    help: 'The floor for spec.activationDelay. Without it, 20m or the cache lifetime that the documents announce and 1m, whichever is longer.',
  },
  {
    name: 'resync',
    type: 'duration',
    commands: ['controller'],
    default: formatDuration(30 * minute),
    smallest: 10 * second,
    help: 'How often each registration is looked at even if nothing changed, at least 10s; it finds what happened to Secrets.',
  },
  { name: 'address', type: 'address', commands: ['jwks'], default: ':8080', help: 'Where the documents are served.' },
  {
    name: 'admin-address',
    type: 'address',
    commands: ['jwks'],
    default: ':8081',
    help: 'Where /metrics, /healthz and /readyz are served.',
  },
  {
    name: 'max-age',
    type: 'seconds',
    commands: ['jwks'],
    default: '300',
    help: 'max-age of the documents in seconds, at most 86400.',
  },
  {
    name: 'tls-cert',
    type: 'text',
    commands: ['jwks'],
    help: 'PEM file with the certificate chain; serves HTTPS, together with --tls-key.',
  },
  { name: 'tls-key', type: 'text', commands: ['jwks'], help: 'PEM file with the private key of --tls-cert.' },
  {
    name: 'log-level',
    type: 'level',
    commands,
    default: 'info',
    help: `Least severe level that is logged: ${logLevels.join(', ')}.`,
  },
  { name: 'log-format', type: 'format', commands, default: 'json', help: `Log lines as ${logFormats.join(' or ')}.` },
];

/** All that is wrong with the command line, one sentence a line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** What the options of a command came to; those without a default may be absent. */
export interface ControllerConfig extends PublisherConfig {
  /** At least one of `kekDir` and `kmsSocket` is there. */
  readonly kekDir?: string;
  readonly kmsSocket?: string;
  readonly leaderElect: boolean;
  readonly jwksProbeUrls: readonly string[];
  readonly jwksPublicUrl?: string;
  readonly minimumOverlap: number;
  readonly minimumActivationDelay?: number;
  readonly resync: number;
}

export interface PublisherConfig extends LogConfig {
  readonly kubeconfig?: string;
  readonly namespaces: readonly string[];
  readonly publishDir: string;
  readonly metricsAddress: string;
  readonly clusterDocument: boolean;
}

export interface SidecarConfig extends LogConfig {
  readonly publishDir: string;
  readonly address: string;
  readonly adminAddress: string;
  readonly maxAge: number;
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
  readonly jwks: SidecarConfig;
}

/** status.jwksURL, which has at most 2048 characters, is this and a path. */
const longestBaseUrl = 1024;
/** Names of members where they are not the option's in camel case: those that hold several values. */
const plurals: Readonly<Record<string, string>> = { namespace: 'namespaces', 'jwks-probe-url': 'jwksProbeUrls' };

/** Reads the arguments after the command. Throws one ConfigError with everything that is wrong. */
export function parseConfig<C extends Command>(command: C, args: readonly string[]): Configs[C] {
  const rows = optionTable.filter((row) => row.commands.includes(command));
  const problems: string[] = [];
  const given = givenOptions(command, rows, args, problems);
  const config: Record<string, unknown> = {};
  for (const row of rows) {
    const texts = given.get(row.name) ?? (row.default === undefined ? [] : [row.default]);
    if (row.required && texts.length === 0) problems.push(`--${row.name} is required. ${row.help}`);
    const values = texts.flatMap((text) => valueOf(row, text, problems));
    const member = plurals[row.name] ?? row.name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
    if (row.type === 'list' || row.type === 'urls') config[member] = Object.freeze([...new Set(values)]);
    else if (row.type === 'flag') config[member] = texts.length > 0;
    else if (values.length > 0) config[member] = values.at(-1);
  }
  if ((config['tlsCert'] === undefined) !== (config['tlsKey'] === undefined)) {
    problems.push('--tls-cert and --tls-key go together: give both, or neither to serve HTTP.');
  }
  if (command === 'controller' && config['kekDir'] === undefined && config['kmsSocket'] === undefined) {
    problems.push('--kek-dir or --kms-socket is required: it says where key-encryption keys come from.');
  }
  if (problems.length > 0) throw new ConfigError(problems.join('\n'));
  return Object.freeze(config) as unknown as Configs[C];
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
      problems.push(`"${token.value}" is not an option of ${command}; options begin with --.`);
    if (token.kind !== 'option') continue;
    const row = rows.find(({ name }) => name === token.name);
    if (!row) problems.push(`${token.rawName} is not an option of ${command}; see lti-key-operator ${command} --help.`);
    else if (row.type === 'flag' && token.value !== undefined) problems.push(`--${row.name} takes no value.`);
    else if (row.type !== 'flag' && !token.value) problems.push(`--${row.name} needs a value. ${row.help}`);
    else given.set(row.name, [...(given.get(row.name) ?? []), token.value ?? '']);
  }
  return given;
}

/** The value as a list of one, or of none after a problem was reported. */
function valueOf(row: OptionRow, text: string, problems: string[]): readonly unknown[] {
  try {
    return [narrow(row, text)];
  } catch (error) {
    problems.push(`--${row.name}: ${error instanceof Error ? error.message : 'unusable value'}.`);
    return [];
  }
}

function narrow({ type, smallest = 0 }: OptionRow, text: string): unknown {
  switch (type) {
    case 'duration':
      if (parseDuration(text) < smallest) throw new Error(`${text} is less than ${formatDuration(smallest)}`);
      return parseDuration(text);
    case 'seconds':
      if (!/^\d{1,5}$/.test(text) || Number(text) > 86_400) throw new Error(`"${text}" is not 0 to 86400 seconds`);
      return Number(text);
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

function baseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash || url.username) {
    throw new Error(`"${text}" is not a base URL: write http:// or https://, a host and optionally a path`);
  }
  if (url.href.length > longestBaseUrl) throw new Error(`the URL has over ${longestBaseUrl} characters`);
  return url.href.replace(/\/+$/, '');
}

function oneOf(values: readonly string[], text: string): string {
  if (!values.includes(text)) throw new Error(`"${text}" is none of ${values.join(', ')}`);
  return text;
}

/** The text of `--help` for one command. */
export function helpText(command: Command): string {
  const lines = optionTable
    .filter((row) => row.commands.includes(command))
    .map((row) => {
      const value = row.type === 'flag' ? '' : ` <${row.type === 'list' ? 'name' : row.type.replace(/s$/, '')}>`;
      const suffix = row.default === undefined ? (row.required ? ' (required)' : '') : ` (default ${row.default})`;
      return `  --${row.name}${value}${suffix}\n      ${row.help}\n`;
    });
  return `Usage: lti-key-operator ${command} [options]\n\n${lines.join('')}`;
}
