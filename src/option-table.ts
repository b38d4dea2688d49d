import { jwksServiceName } from './api/names.ts';
import { defaultMaxAge } from './documents/cache-control.ts';
import { defaultMinimumOverlap } from './domain/timing.ts';
import { type Duration, formatDuration, minute, second } from './domain/duration.ts';
import { logFormats, logLevels } from './observability/log.ts';

/** Every option of every command. Parsing and `--help` use this table; a test compares docs/configuration.md with it. */

export type Command = 'controller' | 'publisher' | 'jwks';
export const commands: readonly Command[] = ['controller', 'publisher', 'jwks'];

type OptionType =
  | 'path'
  | 'socket'
  | 'number'
  | 'port'
  | 'list'
  | 'flag'
  | 'duration'
  | 'seconds'
  | 'address'
  | 'url'
  | 'urls'
  | 'level'
  | 'format'
  | 'name';

export interface OptionRow {
  readonly name: string;
  readonly type: OptionType;
  readonly commands: readonly Command[];
  /** As written on the command line. */
  readonly default?: string;
  readonly required?: boolean;
  readonly smallest?: Duration;
  readonly help: string;
}

const reading: readonly Command[] = ['controller', 'publisher'];

export const optionTable: readonly OptionRow[] = [
  {
    name: 'kubeconfig',
    type: 'path',
    commands: reading,
    help: 'Path of the kubeconfig file. Without it, the files in $KUBECONFIG, merged as kubectl merges them; otherwise ~/.kube/config; otherwise the service account of the Pod.',
  },
  {
    name: 'namespace',
    type: 'list',
    commands: reading,
    help: 'Namespace to watch; may be repeated. Without it, all namespaces.',
  },
  {
    name: 'kek-dir',
    type: 'path',
    commands: ['controller'],
    help: 'Directory of key-encryption keys (KEKs): one file per KEK with 32 bytes in base64, and the file primary with the name of the KEK that seals. Required unless --kms-socket is given.',
  },
  {
    name: 'kms-socket',
    type: 'socket',
    commands: ['controller'],
    help: 'Unix socket of a Kubernetes KMS v2 plugin that holds the KEK, as a path or, as in the configuration of kube-apiserver, unix:///path. Required unless --kek-dir is given. With both, --kek-dir seals if its file primary names a KEK, otherwise the plugin seals; each opens what it sealed.',
  },
  {
    name: 'publish-dir',
    type: 'path',
    commands,
    required: true,
    help: 'Directory that the controller or publisher writes documents to and from which the JWKS sidecar serves them.',
  },
  {
    name: 'metrics-address',
    type: 'address',
    commands: reading,
    default: ':8082',
    help: 'Address on which /metrics, /healthz and /readyz are served.',
  },
  {
    name: 'leader-elect',
    type: 'flag',
    commands: ['controller'],
    help: 'Reconcile only while holding the Lease. Every replica publishes, with or without the Lease.',
  },
  {
    name: 'jwks-probe-url',
    type: 'urls',
    commands: ['controller'],
    help: 'Base URL of a JWKS replica in which the controller looks for published keys; may be repeated. Without it, the controller uses the ready endpoints of --jwks-service.',
  },
  {
    name: 'jwks-service',
    type: 'name',
    commands: ['controller'],
    default: jwksServiceName,
    help: 'Service in the operator’s namespace in whose ready endpoints the controller looks for published keys.',
  },
  {
    name: 'jwks-admin-port',
    type: 'port',
    commands: ['controller'],
    help: 'Port of --admin-address of the JWKS sidecars, from which the leader collects every minute when each document was last fetched. The default is 8081; with --jwks-probe-url, there is no default, and without this option the leader collects nothing.',
  },
  {
    name: 'jwks-public-url',
    type: 'url',
    commands: ['controller'],
    help: 'Base URL under which platforms fetch documents, at most 1024 characters. status.jwksURL starts with it, and a key does not sign before it is served there, too.',
  },
  {
    name: 'jwks-public-ca-file',
    type: 'path',
    commands: ['controller'],
    help: 'PEM file of CA certificates that the controller trusts, in addition to the default ones, for --jwks-public-url and for each --jwks-probe-url with a host name. The file is read for each connection.',
  },
  {
    name: 'cluster-document',
    type: 'flag',
    commands: reading,
    help: 'Also publish the document of all namespaces. A platform that uses it trusts the keys of all of them. With --namespace, the document is always published.',
  },
  {
    name: 'minimum-overlap',
    type: 'duration',
    commands: ['controller'],
    default: formatDuration(defaultMinimumOverlap),
    help: 'Minimum for spec.overlap.',
  },
  {
    name: 'minimum-activation-delay',
    type: 'duration',
    commands: ['controller'],
    help: 'Minimum for spec.activationDelay. Without it, 20m, or 1m plus the cache lifetime that the documents announce if that is longer.',
  },
  {
    name: 'resync',
    type: 'duration',
    commands: ['controller'],
    default: formatDuration(30 * minute),
    smallest: 10 * second,
    help: 'Longest time until a registration is reconciled even if nothing changed, at least 10s. Up to 300 registrations are reconciled every minute. This finds changes to Secrets, which the operator does not watch.',
  },
  {
    name: 'kube-api-qps',
    type: 'number',
    commands: reading,
    default: '2000',
    help: 'Maximum sustained rate of requests to the API server, per second. Requests for the Lease are not counted.',
  },
  {
    name: 'kube-api-burst',
    type: 'number',
    commands: reading,
    default: '4000',
    help: 'Maximum burst of requests to the API server after idle time.',
  },
  {
    name: 'address',
    type: 'address',
    commands: ['jwks'],
    default: ':8080',
    help: 'Address on which the documents are served.',
  },
  {
    name: 'admin-address',
    type: 'address',
    commands: ['jwks'],
    default: ':8081',
    help: 'Address on which /metrics, /healthz, /readyz and /fetches (how often each document was fetched) are served.',
  },
  {
    name: 'max-age',
    type: 'seconds',
    commands: ['jwks'],
    default: String(defaultMaxAge),
    help: 'max-age in the Cache-Control header of the documents, in seconds, at most 86400.',
  },
  {
    name: 'keep-alive',
    type: 'seconds',
    commands: ['jwks'],
    default: '3660',
    help: 'Idle timeout of client connections, in seconds, at most 86400. It must be longer than the idle timeout of any proxy in front of the sidecar: 600 s for Google’s load balancers, one hour for Envoy.',
  },
  {
    name: 'tls-cert',
    type: 'path',
    commands: ['jwks'],
    help: 'PEM file with the certificate chain. With --tls-key, the sidecar serves HTTPS.',
  },
  { name: 'tls-key', type: 'path', commands: ['jwks'], help: 'PEM file with the private key of --tls-cert.' },
  {
    name: 'log-level',
    type: 'level',
    commands,
    default: 'info',
    help: `Lowest level that is logged: ${logLevels.join(', ')}.`,
  },
  {
    name: 'log-format',
    type: 'format',
    commands,
    default: 'json',
    help: `Format of log lines: ${logFormats.join(' or ')}.`,
  },
];
