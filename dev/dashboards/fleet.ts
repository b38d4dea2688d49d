import { cluster, type Dashboard, of, orZero, ours, perRegistration, rate, type Row } from './dashboard.ts';

const queue = 'name="ltiregistrations"';
const controller = 'controller="ltiregistrations"';
const untilRotation = `${perRegistration(of('lti_next_rotation_timestamp_seconds'))} - time()`;
const age = (metric: string): string => `time() - ${perRegistration(of(metric))}`;
const sumOfClusters = (metric: string, ...labels: readonly string[]): string => {
  const by = labels.length === 0 ? '' : ` by (${labels.join(', ')})`;
  return `sum${by} (max by (${['cluster', ...labels].join(', ')}) (${of(metric)}))`;
};
const p99 = (metric: string, matcher: string): string =>
  `histogram_quantile(0.99, sum by (le) (${rate(of(`${metric}_bucket`, matcher))}))`;

const registrations: Row = {
  title: 'Registrations',
  panels: [
    {
      kind: 'number',
      title: 'Registrations',
      help: 'Reported by the leader; without data, no replica leads.',
      width: 4,
      queries: [{ expr: sumOfClusters('lti_registrations'), legend: 'registrations' }],
    },
    {
      kind: 'number',
      title: 'Not ready',
      help: 'The tool has no key that it can sign with and that platforms can fetch. The table of problems has the reason.',
      width: 4,
      alarmAbove: 0,
      queries: [{ expr: orZero(`count(${perRegistration(of('lti_registration_ready'))} == 0)`), legend: 'not ready' }],
    },
    {
      kind: 'number',
      title: 'Suspended',
      help: 'With spec.suspend, so nothing rotates.',
      width: 4,
      queries: [{ expr: orZero(`count(${perRegistration(of('lti_registration_suspended'))})`), legend: 'suspended' }],
    },
    {
      kind: 'number',
      title: 'Orphans',
      help: 'Deleted registrations whose keys are still published, as deletionPolicy Retain does.',
      width: 4,
      queries: [{ expr: orZero(`count(${perRegistration(of('lti_orphaned_keys'))})`), legend: 'orphans' }],
    },
    {
      kind: 'number',
      title: 'Rotations overdue',
      help: 'The next key was due more than an hour ago, and the old one continues to sign.',
      width: 4,
      alarmAbove: 0,
      queries: [{ expr: orZero(`count(${untilRotation} < -3600)`), legend: 'overdue' }],
    },
    {
      kind: 'number',
      title: 'Firing alerts',
      help: 'Alerts of deploy/alerts.yaml; each links its runbook.',
      width: 4,
      alarmAbove: 0,
      queries: [
        { expr: orZero(`count(${of('ALERTS', 'alertname=~"LTI.+"', 'alertstate="firing"')})`), legend: 'firing' },
      ],
    },
    {
      kind: 'table',
      title: 'Problems',
      help: 'Conditions that report a problem: 1 is True, 0 False, -1 Unknown. docs/conditions.md has the remedy for each reason.',
      width: 12,
      linksToRegistration: true,
      queries: [
        {
          expr: perRegistration(of('lti_registration_condition'), 'type', 'reason'),
          legend: '{{namespace}}/{{registration}} {{type}} {{reason}}',
        },
      ],
    },
    {
      kind: 'lines',
      title: 'Problems by reason',
      help: 'Registrations with each problem.',
      width: 12,
      queries: [
        {
          expr: `count by (type, reason) (${perRegistration(of('lti_registration_condition'), 'type', 'reason')})`,
          legend: '{{type}} {{reason}}',
        },
      ],
    },
  ],
};

const keys: Row = {
  title: 'Keys and rotations',
  panels: [
    {
      kind: 'lines',
      title: 'Keys by state',
      help: 'Keys of all registrations. Next and Retiring are published beside the key that signs.',
      width: 12,
      queries: [{ expr: sumOfClusters('lti_keys', 'state'), legend: '{{state}}' }],
    },
    {
      kind: 'lines',
      title: 'Age of signing keys',
      help: 'How long they have signed.',
      width: 6,
      unit: 's',
      queries: [
        { expr: `max(${age('lti_signing_key_activated_timestamp_seconds')})`, legend: 'oldest' },
        { expr: `quantile(0.5, ${age('lti_signing_key_activated_timestamp_seconds')})`, legend: 'median' },
      ],
    },
    {
      kind: 'lines',
      title: 'Age / rotateAfter',
      help: 'Of the key that has signed longest by its own schedule. LTISigningKeyTooOld fires above 120 %.',
      width: 6,
      unit: 'percentunit',
      queries: [
        {
          expr: `max((${age('lti_signing_key_activated_timestamp_seconds')}) / ${perRegistration(of('lti_rotate_after_seconds'))})`,
          legend: 'highest',
        },
      ],
    },
    {
      kind: 'lines',
      title: 'Rotations to come',
      help: 'Keys that activate within this time. Many at once are normal after a migration; they spread over time.',
      width: 12,
      queries: [
        { expr: orZero(`count(${untilRotation} < 86400)`), legend: 'in 1 day' },
        { expr: orZero(`count(${untilRotation} < 7 * 86400)`), legend: 'in 7 days' },
        { expr: orZero(`count(${untilRotation} < 30 * 86400)`), legend: 'in 30 days' },
        { expr: orZero(`count(${untilRotation})`), legend: 'planned' },
      ],
    },
    {
      kind: 'table',
      title: 'Next rotations',
      help: 'The ten registrations that rotate next; a negative time is overdue.',
      width: 6,
      unit: 's',
      linksToRegistration: true,
      queries: [{ expr: `bottomk(10, ${untilRotation})`, legend: '{{namespace}}/{{registration}}' }],
    },
    {
      kind: 'lines',
      title: 'Rotations per hour',
      help: 'Started: the next key was created. Activated: it signs.',
      width: 6,
      queries: [{ expr: `sum by (result) (increase(${of('lti_rotations_total')}[1h]))`, legend: '{{result}}' }],
    },
  ],
};

const operator: Row = {
  title: 'Operator',
  panels: [
    {
      kind: 'lines',
      title: 'Replicas',
      help: 'Controllers that are scraped, and how many of them lead. One has to lead.',
      width: 6,
      queries: [
        { expr: `count(${of('lti_kek_available')})`, legend: 'controllers' },
        {
          expr: `sum(${of('leader_election_master_status')} and on (cluster, job, instance) ${of('lti_kek_available')})`,
          legend: 'leaders',
        },
      ],
    },
    {
      kind: 'lines',
      title: 'Failed reconciles per hour',
      help: 'The operator retries each of them within a minute. The log of the leader has the error.',
      width: 6,
      queries: [
        { expr: `sum(increase(${of('controller_runtime_reconcile_errors_total', controller)}[1h]))`, legend: 'failed' },
      ],
    },
    {
      kind: 'lines',
      title: 'Refused writes per hour',
      help: 'By the API server: a missing permission, a quota, an admission policy or an immutable Secret.',
      width: 6,
      queries: [
        { expr: `sum by (resource) (increase(${of('lti_refused_writes_total')}[1h]))`, legend: '{{resource}}' },
      ],
    },
    {
      kind: 'lines',
      title: 'Dropped events per hour',
      help: 'Only events are lost: conditions and logs have the same information. Without data, none was dropped.',
      width: 6,
      queries: [{ expr: `sum by (reason) (increase(${of('lti_events_dropped_total')}[1h]))`, legend: '{{reason}}' }],
    },
    {
      kind: 'lines',
      title: 'Private keys by KEK',
      help: 'A key-encryption key (KEK) may be removed when it has 0: docs/guides/rotate-a-kek.md.',
      width: 8,
      queries: [{ expr: `max by (cluster, kek_id) (${of('lti_sealed_keys')})`, legend: '{{kek_id}}' }],
    },
    {
      kind: 'lines',
      title: 'KEK available',
      help: '0 if a replica has no key-encryption key to seal keys with, so that nothing rotates once it leads.',
      width: 4,
      queries: [{ expr: of('lti_kek_available'), legend: '{{instance}}' }],
    },
    {
      kind: 'table',
      title: 'KEK errors',
      help: 'Why a replica cannot seal keys. Empty if all can.',
      width: 6,
      queries: [{ expr: of('lti_kek_error_info'), legend: '{{instance}} {{reason}}' }],
    },
    {
      kind: 'lines',
      title: 'Clock skew',
      help: 'From 5 minutes on, the operator activates and retires no keys.',
      width: 6,
      unit: 's',
      queries: [{ expr: of('lti_clock_skew_seconds'), legend: '{{instance}}' }],
    },
    {
      kind: 'lines',
      title: 'Queue',
      help: 'Registrations that wait for a worker, and key pairs that are being generated. Both return to 0.',
      width: 6,
      queries: [
        { expr: `sum(${of('workqueue_depth', queue)})`, legend: 'registrations' },
        { expr: `sum(${of('lti_key_pairs_pending')})`, legend: 'key pairs' },
        { expr: `sum(${of('controller_runtime_active_workers', controller)})`, legend: 'busy workers' },
      ],
    },
    {
      kind: 'lines',
      title: 'Wait and work, 99th percentile',
      help: 'Time that a registration waits for a worker, and time of its reconcile.',
      width: 6,
      unit: 's',
      queries: [
        { expr: p99('workqueue_queue_duration_seconds', queue), legend: 'wait' },
        { expr: p99('controller_runtime_reconcile_time_seconds', controller), legend: 'reconcile' },
      ],
    },
    {
      kind: 'lines',
      title: 'API requests',
      help: 'By code and method. The code is <error> if there was no response.',
      width: 6,
      unit: 'reqps',
      queries: [
        {
          expr: `sum by (code, method) ${ours(rate(of('rest_client_requests_total')))}`,
          legend: '{{method}} {{code}}',
        },
      ],
    },
    {
      kind: 'lines',
      title: 'API latency, 99th percentile',
      help: 'Until the response of the API server.',
      width: 6,
      unit: 's',
      queries: [
        {
          expr: `histogram_quantile(0.99, sum by (le, method) ${ours(rate(of('rest_client_request_duration_seconds_bucket')))})`,
          legend: '{{method}}',
        },
      ],
    },
    {
      kind: 'lines',
      title: 'Watches that are not current',
      help: 'Caches of a resource in a namespace (all if it is empty) whose watch fails. 0 if all are current.',
      width: 24,
      queries: [
        {
          expr: `count by (resource, namespace) (${of('lti_watch_current')} == 0) or 0 * count by (resource, namespace) (${of('lti_watch_current')})`,
          legend: '{{resource}} {{namespace}}',
        },
      ],
    },
  ],
};

const errors = of('lti_jwks_requests_total', 'code=~"5.."');

const serving: Row = {
  title: 'JWKS traffic and documents',
  panels: [
    {
      kind: 'lines',
      title: 'Responses by status',
      help: '404: no such registration, or a wrong URL at the platform. 503: a sidecar that has not synchronized.',
      width: 8,
      unit: 'reqps',
      queries: [{ expr: `sum by (code) (${rate(of('lti_jwks_requests_total'))})`, legend: '{{code}}' }],
    },
    {
      kind: 'lines',
      title: 'Share of 5xx',
      help: 'LTIJWKSErrors fires above 5 % of one replica.',
      width: 4,
      unit: 'percentunit',
      queries: [
        {
          expr: `(sum(${rate(errors)}) or vector(0)) / sum(${rate(of('lti_jwks_requests_total'))})`,
          legend: '5xx',
        },
      ],
    },
    {
      kind: 'lines',
      title: 'Ready endpoints',
      help: 'Of the JWKS Service. Without one, platforms cannot fetch keys. No data with --jwks-probe-url.',
      width: 4,
      queries: [{ expr: `max by (cluster) (${of('lti_jwks_replicas')})`, legend: 'ready {{cluster}}' }],
    },
    {
      kind: 'lines',
      title: 'Age of the served documents',
      help: 'Since they last matched the API server. LTIJWKSStale fires above 10 minutes.',
      width: 8,
      unit: 's',
      queries: [{ expr: of('lti_jwks_age_seconds'), legend: '{{instance}}' }],
    },
    {
      kind: 'lines',
      title: 'Documents',
      help: 'Written by each publisher and served by each sidecar: the same number, one per registration and one for all if there is such a document.',
      width: 8,
      queries: [
        { expr: of('lti_publish_documents'), legend: 'written by {{instance}}' },
        { expr: of('lti_jwks_documents'), legend: 'served by {{instance}}' },
      ],
    },
    {
      kind: 'lines',
      title: 'Refused and unwritten files',
      help: 'Files that a sidecar refuses now, and consecutive failures to write. All are 0 in good health.',
      width: 8,
      queries: [
        { expr: `sum by (reason) (${of('lti_jwks_refused_files')})`, legend: '{{reason}}' },
        { expr: `sum(${of('lti_publish_failures')})`, legend: 'failed writes' },
      ],
    },
    {
      kind: 'lines',
      title: 'Synchronized',
      help: '0 while a sidecar answers 503, because its publisher has not synchronized since the sidecar started.',
      width: 4,
      queries: [{ expr: of('lti_jwks_synced'), legend: '{{instance}}' }],
    },
    {
      kind: 'lines',
      title: 'TLS certificates expire in',
      help: 'No data without --tls-cert.',
      width: 4,
      unit: 's',
      queries: [{ expr: `${of('lti_jwks_certificate_not_after_timestamp_seconds')} - time()`, legend: '{{instance}}' }],
    },
  ],
};

const processes: Row = {
  title: 'Processes',
  panels: [
    {
      kind: 'lines',
      title: 'Memory',
      help: 'Resident memory. docs/configuration.md has the limits.',
      width: 6,
      unit: 'bytes',
      queries: [{ expr: ours(of('process_resident_memory_bytes')), legend: '{{instance}}' }],
    },
    {
      kind: 'lines',
      title: 'CPU',
      help: 'Share of one core.',
      width: 6,
      unit: 'percentunit',
      queries: [{ expr: ours(rate(of('process_cpu_seconds_total'))), legend: '{{instance}}' }],
    },
    {
      kind: 'lines',
      title: 'Event loop delay',
      help: 'Above a second, leases and probes are at risk.',
      width: 6,
      unit: 's',
      queries: [{ expr: ours(of('nodejs_eventloop_lag_seconds')), legend: '{{instance}}' }],
    },
    {
      kind: 'lines',
      title: 'Processes by version',
      help: 'Two versions at a time during an upgrade only.',
      width: 6,
      queries: [{ expr: `count by (version) (${of('lti_build_info')})`, legend: '{{version}}' }],
    },
  ],
};

export const fleet: Dashboard = {
  uid: 'lti-fleet',
  title: 'LTI keys / Fleet',
  description: 'All registrations of the LTI key operator, the operator itself, and what platforms fetch.',
  variables: [cluster],
  rows: [registrations, keys, operator, serving, processes],
};
