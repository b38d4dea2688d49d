import { jwksServiceName } from './api/names.ts';
import { defaultMinimumOverlap } from './domain/timing.ts';
import { type Duration, formatDuration, minute, second } from './domain/duration.ts';
import { logFormats, logLevels } from './observability/log.ts';

/** Every option of every command: one table, from which parsing, `--help` and docs/configuration.md come. */

export type Command = 'controller' | 'publisher' | 'jwks';
export const commands: readonly Command[] = ['controller', 'publisher', 'jwks'];

type OptionType =
  | 'path'
  | 'socket'
  | 'number'
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
    type: 'path',
    commands: reading,
    help: 'The kubeconfig file to use. Without it, those that $KUBECONFIG names, merged as kubectl does it; else ~/.kube/config, and in a Pod its service account.',
  },
  {
    name: 'namespace',
    type: 'list',
    commands: reading,
    help: 'A namespace to work in; may be repeated. Without it, all namespaces.',
  },
  {
    name: 'kek-dir',
    type: 'path',
    commands: ['controller'],
    help: 'The directory of key-encryption keys: one file per key with 32 bytes in base64, and the file primary, which names the one that seals. This or --kms-socket is required.',
  },
  {
    name: 'kms-socket',
    type: 'socket',
    commands: ['controller'],
    help: 'The unix socket of a Kubernetes KMS v2 plugin that holds the key-encryption key, as a path or as kube-apiserver writes it, unix:///path. With --kek-dir as well, the one that does not seal opens what it sealed.',
  },
  {
    name: 'publish-dir',
    type: 'path',
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
    help: 'Base URL of a JWKS replica to ask whether a key is published; may be repeated. Without it, the ready endpoints of --jwks-service.',
  },
  {
    name: 'jwks-service',
    type: 'name',
    commands: ['controller'],
    default: jwksServiceName,
    help: 'The Service in the operator’s namespace whose ready endpoints are asked whether a key is published.',
  },
  {
    name: 'jwks-public-url',
    type: 'url',
    commands: ['controller'],
    help: 'Base of the URLs that platforms are given. status.jwksURL begins with it, and a key must be served there, too, before it signs. At most 1024 characters.',
  },
  {
    name: 'jwks-public-ca-file',
    type: 'path',
    commands: ['controller'],
    help: 'PEM file of the authorities that may vouch for --jwks-public-url, and for a --jwks-probe-url with a name, besides the usual ones. It is read anew for each connection.',
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
  {
    name: 'kube-api-qps',
    type: 'number',
    commands: reading,
    default: '2000',
    help: 'Requests to the API server per second in the long run; those for the Lease are not counted.',
  },
  {
    name: 'kube-api-burst',
    type: 'number',
    commands: reading,
    default: '4000',
    help: 'Requests to the API server that may come at once after a rest.',
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
    name: 'keep-alive',
    type: 'seconds',
    commands: ['jwks'],
    default: '3660',
    help: 'How long a connection may be idle between two requests, in seconds, at most 86400. It must be longer than the idle time of what stands before the sidecar: Google’s load balancers keep connections for 600 s, Envoy for an hour.',
  },
  {
    name: 'tls-cert',
    type: 'path',
    commands: ['jwks'],
    help: 'PEM file with the certificate chain; serves HTTPS, together with --tls-key.',
  },
  { name: 'tls-key', type: 'path', commands: ['jwks'], help: 'PEM file with the private key of --tls-cert.' },
  {
    name: 'log-level',
    type: 'level',
    commands,
    default: 'info',
    help: `Least severe level that is logged: ${logLevels.join(', ')}.`,
  },
  { name: 'log-format', type: 'format', commands, default: 'json', help: `Log lines as ${logFormats.join(' or ')}.` },
];
