import { expect } from 'chai';
import { Registry } from 'prom-client';

import {
  clientMetrics,
  controllerMetrics,
  createRegistry,
  eventMetrics,
  leaderMetrics,
  operatorMetrics,
  writeMetrics,
  type OperatorSources,
  publisherMetrics,
  sidecarMetrics,
  type SidecarSources,
  watchMetrics,
  workQueueMetrics,
} from '../../../src/observability/metrics.ts';
import { computedGauge } from '../../../src/observability/instruments.ts';
import { metricTables } from '../../../src/observability/metric-table.ts';
import { objectMetrics } from '../../../src/observability/object-metrics.ts';

/** The series of the metrics whose name starts with a prefix, without buckets. */
async function series(registry: Registry, prefix: string): Promise<string[]> {
  const lines = (await registry.metrics()).split('\n');
  return lines.filter((line) => line.startsWith(prefix) && !line.includes('_bucket'));
}

const sidecar: SidecarSources = {
  documents: () => 0,
  ageSeconds: () => undefined,
  synced: () => false,
  refusalReasons: [],
  refusals: () => [],
  certificate: () => undefined,
};

describe('createRegistry', () => {
  it('createRegistry reports the version, memory and event loop lag of the process', async () => {
    const registry = createRegistry('1.2.3');
    expect(await series(registry, 'lti_build_info')).to.deep.equal(['lti_build_info{version="1.2.3"} 1']);
    const value = async (name: string): Promise<number> => Number((await series(registry, name))[0]?.split(' ')[1]);
    expect(await value('process_start_time_seconds')).to.be.closeTo(Date.now() / 1000 - process.uptime(), 1);
    expect(await value('process_resident_memory_bytes')).to.be.greaterThan(10e6);
    expect(await value('process_cpu_seconds_total')).to.be.greaterThan(0);
    expect(await value('nodejs_heap_size_used_bytes')).to.be.greaterThan(1e6);
    expect(await value('nodejs_eventloop_lag_seconds')).to.be.within(0, 10);
  });

  it('createRegistry counts CPU time once, regardless of the number of scrapes', async () => {
    const registry = createRegistry('1.2.3');
    await registry.metrics();
    const [line = ''] = await series(registry, 'process_cpu_seconds_total');
    const { user, system } = process.cpuUsage();
    expect(Number(line.split(' ')[1])).to.be.at.most((user + system) / 1e6);
  });
});

describe('computedGauge', () => {
  it('computedGauge has exactly the series that its source returns at the scrape, without those that have no value', async () => {
    const registry = new Registry();
    let samples: (readonly [{ of: string }, number | undefined])[] = [
      [{ of: 'a' }, 1],
      [{ of: 'b' }, undefined],
    ];
    let plain: number | undefined = 2;
    computedGauge(registry, { name: 'labelled', type: 'gauge', help: 'h', labels: ['of'] }, () => samples);
    computedGauge(registry, { name: 'plain', type: 'gauge', help: 'h', labels: [] }, () => [[{}, plain]]);
    expect([...(await series(registry, 'labelled')), ...(await series(registry, 'plain'))]).to.deep.equal([
      'labelled{of="a"} 1',
      'plain 2',
    ]);
    samples = [[{ of: 'c' }, 3]];
    plain = undefined;
    expect(await series(registry, 'labelled')).to.deep.equal(['labelled{of="c"} 3']);
    expect(await series(registry, 'plain')).to.deep.equal([]);
  });
});

describe('The metrics of the controller', () => {
  it('The metrics of the controller count reconciles by result', async () => {
    const registry = createRegistry('1');
    const metrics = controllerMetrics(registry);
    metrics.watch('registration', 4, () => 2);
    for (const result of ['success', 'requeue_after', 'error'] as const) {
      metrics.reconciled('registration', result, 0.25);
    }
    const of = 'controller="registration"';
    expect(await series(registry, 'controller_runtime_')).to.have.members([
      `controller_runtime_reconcile_total{${of},result="success"} 1`,
      `controller_runtime_reconcile_total{${of},result="requeue_after"} 1`,
      `controller_runtime_reconcile_total{${of},result="error"} 1`,
      `controller_runtime_reconcile_errors_total{${of}} 1`,
      `controller_runtime_reconcile_time_seconds_sum{${of}} 0.75`,
      `controller_runtime_reconcile_time_seconds_count{${of}} 3`,
      `controller_runtime_active_workers{${of}} 2`,
      `controller_runtime_max_concurrent_reconciles{${of}} 4`,
    ]);
  });

  it('The metrics of the controller show the state of a queue at the scrape, for the latest queue of a name', async () => {
    const registry = createRegistry('1');
    const metrics = workQueueMetrics(registry);
    metrics.watch('q', () => ({ depth: 99, unfinishedSeconds: 99, longestRunningSeconds: 99 }));
    metrics.watch('q', () => ({ depth: 3, unfinishedSeconds: 2.5, longestRunningSeconds: 1.5 }));
    metrics.added('q');
    metrics.retried('q');
    metrics.waited('q', 0.5);
    metrics.worked('q', 0.25);
    expect(await series(registry, 'workqueue_')).to.have.members([
      'workqueue_depth{name="q"} 3',
      'workqueue_unfinished_work_seconds{name="q"} 2.5',
      'workqueue_longest_running_processor_seconds{name="q"} 1.5',
      'workqueue_adds_total{name="q"} 1',
      'workqueue_retries_total{name="q"} 1',
      'workqueue_queue_duration_seconds_sum{name="q"} 0.5',
      'workqueue_queue_duration_seconds_count{name="q"} 1',
      'workqueue_work_duration_seconds_sum{name="q"} 0.25',
      'workqueue_work_duration_seconds_count{name="q"} 1',
    ]);
  });

  it('The metrics of the controller count requests and dropped events, and show leadership', async () => {
    const registry = createRegistry('1');
    const client = clientMetrics(registry);
    client.request('GET', '200', 0.01);
    client.request('PUT', '<error>', 30);
    eventMetrics(registry).dropped('buffer_full');
    const leader = leaderMetrics(registry);
    leader.leading('lease', true);
    expect(await series(registry, 'rest_client_requests_total')).to.deep.equal([
      'rest_client_requests_total{method="GET",code="200"} 1',
      'rest_client_requests_total{method="PUT",code="<error>"} 1',
    ]);
    expect(await series(registry, 'rest_client_request_duration_seconds_sum')).to.have.length(2);
    expect(await series(registry, 'lti_events')).to.deep.equal(['lti_events_dropped_total{reason="buffer_full"} 1']);
    expect(await series(registry, 'leader')).to.deep.equal(['leader_election_master_status{name="lease"} 1']);
    leader.leading('lease', false);
    expect(await series(registry, 'leader')).to.deep.equal(['leader_election_master_status{name="lease"} 0']);
  });

  it('The metrics of the controller show whether keys can be sealed, the reason if not, and the clock skew', async () => {
    const registry = createRegistry('1');
    let kekError: string | undefined = 'KEKMissing';
    let clockSkew: number | undefined;
    let replicas: number | undefined;
    let usage: ReturnType<OperatorSources['sealedKeys']> = { complete: false, counts: new Map([['k1', 2]]) };
    const sources = {
      kekError: () => kekError,
      sealedKeys: () => usage,
      clockSkew: () => clockSkew,
      pendingKeyPairs: () => 4,
      jwksReplicas: () => replicas,
      fetchesCollected: () => true,
    };
    operatorMetrics(registry, sources);
    const metrics = writeMetrics(registry);
    metrics.rotation('activated');
    metrics.refused('secrets');
    const rotations = [
      'lti_jwks_fetches_collected 1',
      'lti_key_pairs_pending 4',
      'lti_refused_writes_total{resource="secrets"} 1',
      'lti_refused_writes_total{resource="ltikeys"} 0',
      'lti_refused_writes_total{resource="ltikeys/status"} 0',
      'lti_refused_writes_total{resource="ltiregistrations/status"} 0',
      'lti_rotations_total{result="started"} 0',
      'lti_rotations_total{result="activated"} 1',
    ];
    expect((await series(registry, 'lti_')).slice(1)).to.have.members([
      'lti_kek_available 0',
      'lti_kek_error_info{reason="KEKMissing"} 1',
      'lti_sealed_keys{kek_id="k1"} 2',
      'lti_sealed_keys_complete 0',
      ...rotations,
    ]);
    kekError = undefined;
    clockSkew = -1500;
    replicas = 3;
    usage = { complete: true, counts: new Map([['k1', 0]]) };
    expect((await series(registry, 'lti_')).slice(1)).to.have.members([
      'lti_kek_available 1',
      'lti_sealed_keys{kek_id="k1"} 0',
      'lti_sealed_keys_complete 1',
      'lti_clock_skew_seconds -1.5',
      'lti_jwks_replicas 3',
      ...rotations,
    ]);
    usage = undefined;
    expect(await series(registry, 'lti_sealed'), 'of a replica that does not lead').to.deep.equal([]);
  });
});

describe('The metrics of publisher and sidecar', () => {
  it('The metrics of publisher and sidecar show the number of documents and when they were current', async () => {
    const registry = createRegistry('1');
    let lastSync: Date | undefined;
    publisherMetrics(registry, { documents: () => 3, lastSync: () => lastSync, failures: () => 0 });
    expect(await series(registry, 'lti_publish')).to.deep.equal(['lti_publish_documents 3', 'lti_publish_failures 0']);
    lastSync = new Date('2026-01-01T00:00:00Z');
    expect(await series(registry, 'lti_publish_last')).to.deep.equal([
      'lti_publish_last_sync_timestamp_seconds 1767225600',
    ]);
  });

  it('The metrics of publisher and sidecar count consecutive failed writes to the publish directory', async () => {
    const registry = createRegistry('1');
    let failures = 3;
    publisherMetrics(registry, { documents: () => 0, lastSync: () => undefined, failures: () => failures });
    expect(await series(registry, 'lti_publish_failures')).to.deep.equal(['lti_publish_failures 3']);
    failures = 0;
    expect(await series(registry, 'lti_publish_failures')).to.deep.equal(['lti_publish_failures 0']);
  });

  it('The metrics of publisher and sidecar count the responses of the sidecar, and show the age of its documents once it is known', async () => {
    const registry = createRegistry('1');
    let age: number | undefined;
    const metrics = sidecarMetrics(registry, { ...sidecar, documents: () => 2, ageSeconds: () => age });
    expect(await series(registry, 'lti_jwks')).to.have.members(['lti_jwks_documents 2', 'lti_jwks_synced 0']);
    for (const code of [200, 200, 304]) metrics.request(code);
    age = 4.5;
    await registry.metrics();
    expect(await series(registry, 'lti_jwks')).to.have.members([
      'lti_jwks_requests_total{code="200"} 2',
      'lti_jwks_requests_total{code="304"} 1',
      'lti_jwks_documents 2',
      'lti_jwks_age_seconds 4.5',
      'lti_jwks_synced 0',
    ]);
  });

  it('The metrics of publisher and sidecar count the files that the sidecar currently refuses, by reason', async () => {
    const registry = createRegistry('1');
    let refusals = ['NotJSON', 'NotJSON'];
    sidecarMetrics(registry, { ...sidecar, refusalReasons: ['NotJSON', 'TooLarge'], refusals: () => refusals });
    expect(await series(registry, 'lti_jwks_refused_files')).to.deep.equal([
      'lti_jwks_refused_files{reason="NotJSON"} 2',
      'lti_jwks_refused_files{reason="TooLarge"} 0',
    ]);
    refusals = [];
    expect(await series(registry, 'lti_jwks_refused_files')).to.deep.equal([
      'lti_jwks_refused_files{reason="NotJSON"} 0',
      'lti_jwks_refused_files{reason="TooLarge"} 0',
    ]);
  });

  it('The metrics of publisher and sidecar show the validity of the current certificate', async () => {
    const registry = createRegistry('1');
    const validity = { validFromDate: new Date(1000), validToDate: new Date(5000) };
    sidecarMetrics(registry, { ...sidecar, certificate: () => validity });
    expect(await series(registry, 'lti_jwks_certificate')).to.deep.equal([
      'lti_jwks_certificate_not_before_timestamp_seconds 1',
      'lti_jwks_certificate_not_after_timestamp_seconds 5',
    ]);
  });
});

describe('The metrics of watches', () => {
  it('The metrics of watches show for each namespace whether its cache is current, and when it last was', async () => {
    const registry = createRegistry('1');
    const watch = (namespace: string | undefined, synced: boolean, failing: boolean, until: Date | undefined) => ({
      resource: 'ltikeys',
      namespace,
      hasSynced: () => synced,
      isFailing: () => failing,
      currentUntil: () => until,
    });
    watchMetrics(registry, [
      watch('team-a', true, false, new Date(9000)),
      watch('team-b', true, true, new Date(5000)),
      watch('team-c', false, false, undefined),
      watch(undefined, true, false, new Date(9000)),
    ]);
    expect(await series(registry, 'lti_watch')).to.deep.equal([
      'lti_watch_current{resource="ltikeys",namespace="team-a"} 1',
      'lti_watch_current{resource="ltikeys",namespace="team-b"} 0',
      'lti_watch_current{resource="ltikeys",namespace="team-c"} 0',
      'lti_watch_current{resource="ltikeys",namespace=""} 1',
      'lti_watch_current_timestamp_seconds{resource="ltikeys",namespace="team-a"} 9',
      'lti_watch_current_timestamp_seconds{resource="ltikeys",namespace="team-b"} 5',
      'lti_watch_current_timestamp_seconds{resource="ltikeys",namespace=""} 9',
    ]);
  });
});

describe('The metric table', () => {
  it('The metric table matches the registered metrics in name, type and help', async () => {
    const registry = createRegistry('1');
    clientMetrics(registry);
    workQueueMetrics(registry);
    controllerMetrics(registry);
    leaderMetrics(registry);
    eventMetrics(registry);
    operatorMetrics(registry, {
      kekError: () => undefined,
      sealedKeys: () => undefined,
      clockSkew: () => undefined,
      pendingKeyPairs: () => 0,
      jwksReplicas: () => 0,
      fetchesCollected: () => false,
    });
    writeMetrics(registry);
    publisherMetrics(registry, { documents: () => 0, lastSync: () => undefined, failures: () => 0 });
    watchMetrics(registry, []);
    sidecarMetrics(registry, sidecar);
    const streamed = [...objectMetrics({ registrations: [], keysByState: new Map(), orphans: [] })].join('');
    const registered = [
      ...(await registry.getMetricsAsJSON()).map(({ name, type, help }) => `${name} ${String(type)} ${help}`),
      ...Array.from(
        streamed.matchAll(/^# HELP (\S+) (.*)\n# TYPE \S+ (.*)$/gm),
        ([, name, help, type]) => `${name} ${type} ${help}`,
      ),
    ];
    const rows = Object.values(metricTables).flatMap((table) => Object.values(table));
    expect(registered).to.have.members(rows.map(({ name, type, help }) => `${name} ${type} ${help}`));
  });
});
