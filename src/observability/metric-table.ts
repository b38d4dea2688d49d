import { registrationTable } from './registration-table.ts';

/** Every metric of every process; `docs/metrics.md` says the same, and a test compares them. */

export interface MetricRow {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  /** Fixed: no label takes its values from outside data other than names of objects. */
  readonly labels: readonly string[];
  /** Upper bounds of a histogram, in seconds. */
  readonly buckets?: readonly number[];
}

export type Table = Readonly<Record<string, MetricRow>>;

const secondsOfWork = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** In every process; named as Prometheus clients in all languages name them. */
export const processTable = {
  buildInfo: {
    name: 'lti_build_info',
    type: 'gauge',
    help: 'Always 1; the label says which version runs.',
    labels: ['version'],
  },
  cpu: {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    help: 'User and system CPU time spent, in seconds.',
    labels: [],
  },
  startTime: {
    name: 'process_start_time_seconds',
    type: 'gauge',
    help: 'Start of the process, in seconds since the epoch.',
    labels: [],
  },
  residentMemory: {
    name: 'process_resident_memory_bytes',
    type: 'gauge',
    help: 'Resident memory size in bytes.',
    labels: [],
  },
  heapUsed: {
    name: 'nodejs_heap_size_used_bytes',
    type: 'gauge',
    help: 'JavaScript heap in use, in bytes.',
    labels: [],
  },
  eventLoopLag: {
    name: 'nodejs_eventloop_lag_seconds',
    type: 'gauge',
    help: 'How long a callback waited for its turn at this scrape.',
    labels: [],
  },
} as const satisfies Table;

/** In the controller and the publisher: requests to the API server. */
export const clientTable = {
  requests: {
    name: 'rest_client_requests_total',
    type: 'counter',
    help: 'Requests to the API server; the code is `<error>` where there was no answer.',
    labels: ['code', 'method'],
  },
  duration: {
    name: 'rest_client_request_duration_seconds',
    type: 'histogram',
    help: 'Time to the answer of the API server.',
    labels: ['method'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30],
  },
  watchCurrent: {
    name: 'lti_watch_current',
    type: 'gauge',
    help: '1 while all objects of the kind in the namespace are known as the API server has them, 0 while they were never read or the watch fails; no namespace stands for all.',
    labels: ['resource', 'namespace'],
  },
  watchCurrentUntil: {
    name: 'lti_watch_current_timestamp_seconds',
    type: 'gauge',
    help: 'Until when they were known so: now, unless the watch fails; absent before they were read.',
    labels: ['resource', 'namespace'],
  },
} as const satisfies Table;

/** In the controller; named as controller-runtime and client-go name them. */
export const controllerTable = {
  reconciles: {
    name: 'controller_runtime_reconcile_total',
    type: 'counter',
    help: 'Reconciles by result: success, requeue_after or error.',
    labels: ['controller', 'result'],
  },
  reconcileErrors: {
    name: 'controller_runtime_reconcile_errors_total',
    type: 'counter',
    help: 'Reconciles that failed.',
    labels: ['controller'],
  },
  reconcileTime: {
    name: 'controller_runtime_reconcile_time_seconds',
    type: 'histogram',
    help: 'Duration of a reconcile.',
    labels: ['controller'],
    buckets: secondsOfWork,
  },
  activeWorkers: {
    name: 'controller_runtime_active_workers',
    type: 'gauge',
    help: 'Workers that reconcile now.',
    labels: ['controller'],
  },
  maximumWorkers: {
    name: 'controller_runtime_max_concurrent_reconciles',
    type: 'gauge',
    help: 'Workers there are.',
    labels: ['controller'],
  },
  queueDepth: { name: 'workqueue_depth', type: 'gauge', help: 'Keys that wait for a worker.', labels: ['name'] },
  queueAdds: { name: 'workqueue_adds_total', type: 'counter', help: 'Keys added.', labels: ['name'] },
  queueRetries: {
    name: 'workqueue_retries_total',
    type: 'counter',
    help: 'Keys added again, with a backoff, after a failure.',
    labels: ['name'],
  },
  queueWait: {
    name: 'workqueue_queue_duration_seconds',
    type: 'histogram',
    help: 'How long a key waited for a worker.',
    labels: ['name'],
    buckets: secondsOfWork,
  },
  queueWork: {
    name: 'workqueue_work_duration_seconds',
    type: 'histogram',
    help: 'How long a key was worked on.',
    labels: ['name'],
    buckets: secondsOfWork,
  },
  queueUnfinished: {
    name: 'workqueue_unfinished_work_seconds',
    type: 'gauge',
    help: 'Sum of the seconds that work in progress has taken so far; one that grows is stuck.',
    labels: ['name'],
  },
  queueLongest: {
    name: 'workqueue_longest_running_processor_seconds',
    type: 'gauge',
    help: 'How long the oldest work in progress has taken so far.',
    labels: ['name'],
  },
  leader: {
    name: 'leader_election_master_status',
    type: 'gauge',
    help: '1 while this process holds the Lease, else 0.',
    labels: ['name'],
  },
  eventsDropped: {
    name: 'lti_events_dropped_total',
    type: 'counter',
    help: 'Events not written: buffer_full (over 1,000 wait) or write_failed.',
    labels: ['reason'],
  },
  kekAvailable: {
    name: 'lti_kek_available',
    type: 'gauge',
    help: '1 when private keys can be sealed under the primary key-encryption key, else 0.',
    labels: [],
  },
  kekError: {
    name: 'lti_kek_error_info',
    type: 'gauge',
    help: '1 with the reason why private keys cannot be sealed; absent when they can.',
    labels: ['reason'],
  },
  sealedKeys: {
    name: 'lti_sealed_keys',
    type: 'gauge',
    help: 'Private keys sealed under each key-encryption key, by the ledgers that the leader has read; 0 only once it has read all.',
    labels: ['kek_id'],
  },
  sealedKeysComplete: {
    name: 'lti_sealed_keys_complete',
    type: 'gauge',
    help: '1 when the leader has read every ledger since the key-encryption key that seals last changed, else 0.',
    labels: [],
  },
  clockSkew: {
    name: 'lti_clock_skew_seconds',
    type: 'gauge',
    help: "This machine's clock minus the API server's; absent until it is known.",
    labels: [],
  },
  rotations: {
    name: 'lti_rotations_total',
    type: 'counter',
    help: 'Rotations by result: started (a next key was made) or activated (it signs). First keys are not counted.',
    labels: ['result'],
  },
  refusedWrites: {
    name: 'lti_refused_writes_total',
    type: 'counter',
    help: 'Writes that the API server refused, by the resource: secrets, ltikeys, ltikeys/status or ltiregistrations/status.',
    labels: ['resource'],
  },
  jwksReplicas: {
    name: 'lti_jwks_replicas',
    type: 'gauge',
    help: 'Ready endpoints of the JWKS Service; absent while they are not known, and with --jwks-probe-url.',
    labels: [],
  },
  pendingKeyPairs: {
    name: 'lti_key_pairs_pending',
    type: 'gauge',
    help: 'Key pairs that are being generated or wait for a core.',
    labels: [],
  },
} as const satisfies Table;

/** In the controller and the publisher: the publish directory. */
export const publisherTable = {
  documents: { name: 'lti_publish_documents', type: 'gauge', help: 'Documents in the publish directory.', labels: [] },
  lastSync: {
    name: 'lti_publish_last_sync_timestamp_seconds',
    type: 'gauge',
    help: 'When the publish directory last agreed with the API server; absent before the first time.',
    labels: [],
  },
  failures: {
    name: 'lti_publish_failures',
    type: 'gauge',
    help: 'Attempts in a row that could not write the publish directory; 0 after one that could.',
    labels: [],
  },
} as const satisfies Table;

/** In the JWKS sidecar. */
export const sidecarTable = {
  requests: {
    name: 'lti_jwks_requests_total',
    type: 'counter',
    help: 'Answers by HTTP status code.',
    labels: ['code'],
  },
  documents: { name: 'lti_jwks_documents', type: 'gauge', help: 'Documents served.', labels: [] },
  age: {
    name: 'lti_jwks_age_seconds',
    type: 'gauge',
    help: 'Time since what is served was last known to be current; absent before any heartbeat of the publisher.',
    labels: [],
  },
  synced: {
    name: 'lti_jwks_synced',
    type: 'gauge',
    help: '1 once the publisher has synchronised since this sidecar started, else 0: it answers 503.',
    labels: [],
  },
  refusedFiles: {
    name: 'lti_jwks_refused_files',
    type: 'gauge',
    help: 'Files of the publish directory that are refused now, by reason; the last good document stays.',
    labels: ['reason'],
  },
  certificateStart: {
    name: 'lti_jwks_certificate_not_before_timestamp_seconds',
    type: 'gauge',
    help: 'When the certificate in force becomes valid; absent without --tls-cert.',
    labels: [],
  },
  certificateEnd: {
    name: 'lti_jwks_certificate_not_after_timestamp_seconds',
    type: 'gauge',
    help: 'When the certificate in force expires; absent without --tls-cert.',
    labels: [],
  },
} as const satisfies Table;

/** The table of each kind of metric, by the processes that have it. */
export const metricTables = {
  'every process': processTable,
  'controller and publisher: API server': clientTable,
  'controller and publisher: publish directory': publisherTable,
  controller: controllerTable,
  'controller: registrations': registrationTable,
  jwks: sidecarTable,
} as const satisfies Record<string, Table>;
