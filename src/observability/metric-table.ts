/** Every metric of every process. Tests compare this table with docs/metrics.md and with what the processes register. */

export interface MetricRow<Label extends string = string> {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  /** Label values are bounded: no label takes outside data other than names of objects. */
  readonly labels: readonly Label[];
}

export interface HistogramRow<Label extends string = string> extends MetricRow<Label> {
  /** Upper bounds in seconds. */
  readonly buckets: readonly number[];
}

function counter<Label extends string = never>(name: string, help: string, ...labels: Label[]): MetricRow<Label> {
  return { name, type: 'counter', help, labels };
}

function gauge<Label extends string = never>(name: string, help: string, ...labels: Label[]): MetricRow<Label> {
  return { name, type: 'gauge', help, labels };
}

const workBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

function histogram<Label extends string>(
  name: string,
  help: string,
  label: Label,
  buckets = workBuckets,
): HistogramRow<Label> {
  return { name, type: 'histogram', help, labels: [label], buckets };
}

/** In every process; named as in the Prometheus clients of all languages. */
export const processTable = {
  buildInfo: gauge('lti_build_info', 'Always 1; the label is the version of the process.', 'version'),
  cpu: counter('process_cpu_seconds_total', 'User and system CPU time spent, in seconds.'),
  startTime: gauge('process_start_time_seconds', 'Start time of the process, in seconds since the epoch.'),
  residentMemory: gauge('process_resident_memory_bytes', 'Resident memory size in bytes.'),
  heapUsed: gauge('nodejs_heap_size_used_bytes', 'JavaScript heap in use, in bytes.'),
  eventLoopLag: gauge('nodejs_eventloop_lag_seconds', 'Delay of a callback in the event loop, measured at the scrape.'),
};

/** In the controller and the publisher: requests to the API server. */
export const clientTable = {
  requests: counter(
    'rest_client_requests_total',
    'Requests to the API server; the code is `<error>` if there was no response.',
    'code',
    'method',
  ),
  duration: histogram(
    'rest_client_request_duration_seconds',
    'Duration of requests to the API server, until the response.',
    'method',
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30],
  ),
  watchCurrent: gauge(
    'lti_watch_current',
    '1 while the cache of the resource in the namespace is current, 0 before it was first read and while its watch fails. An empty namespace means all.',
    'resource',
    'namespace',
  ),
  watchCurrentUntil: gauge(
    'lti_watch_current_timestamp_seconds',
    'Time at which the cache was last current: now, unless the watch fails; absent before the first read.',
    'resource',
    'namespace',
  ),
};

/** In the controller; named as in controller-runtime and client-go. */
export const controllerTable = {
  reconciles: counter(
    'controller_runtime_reconcile_total',
    'Reconciles by result: success, requeue_after or error.',
    'controller',
    'result',
  ),
  reconcileErrors: counter('controller_runtime_reconcile_errors_total', 'Failed reconciles.', 'controller'),
  reconcileTime: histogram('controller_runtime_reconcile_time_seconds', 'Duration of reconciles.', 'controller'),
  activeWorkers: gauge('controller_runtime_active_workers', 'Workers that are reconciling now.', 'controller'),
  maximumWorkers: gauge('controller_runtime_max_concurrent_reconciles', 'Number of workers.', 'controller'),
  queueDepth: gauge('workqueue_depth', 'Keys that are waiting for a worker.', 'name'),
  queueAdds: counter('workqueue_adds_total', 'Keys added to the queue.', 'name'),
  queueRetries: counter('workqueue_retries_total', 'Keys added again with a backoff, after a failure.', 'name'),
  queueWait: histogram('workqueue_queue_duration_seconds', 'Time that keys waited for a worker.', 'name'),
  queueWork: histogram('workqueue_work_duration_seconds', 'Time that workers spent on a key.', 'name'),
  queueUnfinished: gauge(
    'workqueue_unfinished_work_seconds',
    'Sum of the time spent so far on keys in progress. If it grows steadily, work is stuck.',
    'name',
  ),
  queueLongest: gauge(
    'workqueue_longest_running_processor_seconds',
    'Time spent so far on the oldest key in progress.',
    'name',
  ),
  leader: gauge('leader_election_master_status', '1 while this process holds the Lease, otherwise 0.', 'name'),
  eventsDropped: counter(
    'lti_events_dropped_total',
    'Events not written: buffer_full (more than 1,000 are waiting) or write_failed.',
    'reason',
  ),
  kekAvailable: gauge('lti_kek_available', '1 if a key-encryption key is available to seal private keys, otherwise 0.'),
  kekError: gauge(
    'lti_kek_error_info',
    '1, with the reason why private keys cannot be sealed; absent if they can.',
    'reason',
  ),
  sealedKeys: gauge(
    'lti_sealed_keys',
    'Private keys sealed under each key-encryption key, in the ledgers that the leader has read; 0 only after it has read all.',
    'kek_id',
  ),
  sealedKeysComplete: gauge(
    'lti_sealed_keys_complete',
    '1 if the leader has read every ledger since the sealing key-encryption key last changed, otherwise 0.',
  ),
  clockSkew: gauge(
    'lti_clock_skew_seconds',
    'Clock of this machine minus the clock of the API server; absent until it is known.',
  ),
  rotations: counter(
    'lti_rotations_total',
    'Rotations by result: started (the next key was created) or activated (it signs). First keys are not counted.',
    'result',
  ),
  refusedWrites: counter(
    'lti_refused_writes_total',
    'Writes that the API server refused or did not process, by resource: secrets, ltikeys, ltikeys/status or ltiregistrations/status.',
    'resource',
  ),
  jwksReplicas: gauge(
    'lti_jwks_replicas',
    'Ready endpoints of the JWKS Service; absent until they are known, and with --jwks-probe-url.',
  ),
  fetchesCollected: gauge(
    'lti_jwks_fetches_collected',
    '1 if the leader collected from every replica when documents were last fetched, otherwise 0, also on replicas that are not the leader.',
  ),
  pendingKeyPairs: gauge('lti_key_pairs_pending', 'Key pairs that are being generated or waiting for a core.'),
};

/** In the controller and the publisher: the publish directory. */
export const publisherTable = {
  documents: gauge('lti_publish_documents', 'Documents in the publish directory.'),
  lastSync: gauge(
    'lti_publish_last_sync_timestamp_seconds',
    'Time at which the publish directory last matched the API server; absent before the first time.',
  ),
  failures: gauge('lti_publish_failures', 'Consecutive failed writes to the publish directory; 0 after a success.'),
};

const perRegistration = ['namespace', 'registration'] as const;

/** Registrations, reported by the leader and computed at each scrape, so that a deleted registration leaves no series. */
export const registrationTable = {
  registrations: gauge('lti_registrations', 'Number of registrations; absent on replicas that are not the leader.'),
  keys: gauge('lti_keys', 'Keys of all registrations, by state.', 'state'),
  ready: gauge('lti_registration_ready', '1 if the registration is Ready, otherwise 0.', ...perRegistration),
  suspended: gauge('lti_registration_suspended', '1 while spec.suspend is set, otherwise absent.', ...perRegistration),
  keyActivated: gauge(
    'lti_signing_key_activated_timestamp_seconds',
    'Time at which the signing key became active; absent if no key signs.',
    ...perRegistration,
  ),
  nextRotation: gauge(
    'lti_next_rotation_timestamp_seconds',
    'Planned activation time of the next key; absent if no rotation is planned.',
    ...perRegistration,
  ),
  rotateAfter: gauge('lti_rotate_after_seconds', 'Age at which the signing key is replaced.', ...perRegistration),
  lastFetch: gauge(
    'lti_registration_last_fetch_timestamp_seconds',
    'Time at which a client other than the operator last fetched the document, accurate to a day; 0 if never; absent with keyDistribution Manual.',
    ...perRegistration,
  ),
  condition: gauge(
    'lti_registration_condition',
    'A condition that reports a problem: 1 for True, 0 for False, -1 for Unknown; otherwise absent.',
    ...perRegistration,
    'type',
    'reason',
  ),
  orphanedKeys: gauge(
    'lti_orphaned_keys',
    'Published keys of a deleted registration; absent if there are none.',
    ...perRegistration,
  ),
};

/** In the JWKS sidecar. */
export const sidecarTable = {
  requests: counter('lti_jwks_requests_total', 'Responses by HTTP status code.', 'code'),
  documents: gauge('lti_jwks_documents', 'Documents served.'),
  age: gauge(
    'lti_jwks_age_seconds',
    'Time since the served documents were last known to be current; absent before the first heartbeat of the publisher.',
  ),
  synced: gauge(
    'lti_jwks_synced',
    '1 after the publisher has synchronized since this sidecar started, otherwise 0; the sidecar then answers 503.',
  ),
  refusedFiles: gauge(
    'lti_jwks_refused_files',
    'Files in the publish directory that are refused now, by reason. The last valid documents stay in use.',
    'reason',
  ),
  certificateStart: gauge(
    'lti_jwks_certificate_not_before_timestamp_seconds',
    'Start of validity of the current certificate; absent without --tls-cert.',
  ),
  certificateEnd: gauge(
    'lti_jwks_certificate_not_after_timestamp_seconds',
    'End of validity of the current certificate; absent without --tls-cert.',
  ),
};

/** The sections of docs/metrics.md, in its order. */
export const metricTables: Readonly<Record<string, Readonly<Record<string, MetricRow>>>> = {
  process: processTable,
  client: clientTable,
  publisher: publisherTable,
  controller: controllerTable,
  registrations: registrationTable,
  sidecar: sidecarTable,
};
