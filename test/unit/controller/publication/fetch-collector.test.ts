import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { FetchCollector } from '../../../../src/controller/publication/fetch-collector.ts';
import type { ReplicaTargets } from '../../../../src/controller/publication/replica-targets.ts';
import { minute, second } from '../../../../src/domain/duration.ts';
import { formatFetchReport } from '../../../../src/documents/fetch-report.ts';
import type { ObjectKey } from '../../../../src/kube/objects.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';
import { recordingLog } from '../../../fakes/recording-log.ts';

const path = '/registrations/gradebook/canvas/jwks.json';
const now = Date.parse('2026-03-01T00:00:00Z');

describe('FetchCollector', () => {
  let server: Server;
  let clock: FakeClock;
  let requests: (string | undefined)[];
  let hosts: string[];
  let respond: (host: string) => [status: number, body: string];
  let replicas: readonly string[] | undefined;
  let registrations: ObjectKey[];
  let collector: FetchCollector;
  const { log, lines } = recordingLog();

  beforeEach(async () => {
    lines.length = 0;
    requests = [];
    hosts = [];
    clock = new FakeClock();
    respond = () => [200, formatFetchReport(new Map([[path, { count: 1, secondsAgo: 30 }]]))];
    server = createServer((request, response) => {
      requests.push(request.url);
      hosts.push(request.headers.host!.replace(/:.*/, ''));
      const [status, body] = respond(hosts.at(-1)!);
      response.writeHead(status).end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    replicas = ['http://127.0.0.1:8080'];
    registrations = ['gradebook/canvas'];
    const targets: ReplicaTargets = () => Promise.resolve(replicas);
    collector = new FetchCollector({
      clock,
      log,
      replicas: targets,
      adminPort: (server.address() as AddressInfo).port,
      registrations: () => registrations,
    });
  });
  afterEach(async () => {
    await collector.close();
    server.close();
  });

  const fetches = (key: ObjectKey = 'gradebook/canvas') => collector.fetches(key, now);

  it('FetchCollector reports when a document was last fetched', async () => {
    expect(fetches(), 'before the first collection').to.deep.equal({ complete: false });
    await collector.collect();
    expect(fetches()).to.deep.equal({ lastAt: now - 30 * second, complete: true });
    await clock.advance(minute);
    expect(fetches().lastAt, 'a minute later').to.equal(now - 90 * second);
    expect(fetches('gradebook/moodle')).to.deep.equal({ complete: true });
  });

  it('FetchCollector reports which registrations were fetched since the previous collection', async () => {
    const fetched: ObjectKey[] = [];
    registrations.push('gradebook/moodle');
    collector.onFetched((key) => fetched.push(key));
    await collector.collect();
    expect(fetched).to.deep.equal(['gradebook/canvas']);
    await clock.advance(minute);
    respond = () => [200, formatFetchReport(new Map([[path, { count: 1, secondsAgo: 90 }]]))];
    await collector.collect();
    expect(fetched, 'the same fetch').to.have.length(1);
    respond = () => [200, formatFetchReport(new Map([[path, { count: 2, secondsAgo: 1 }]]))];
    await collector.collect();
    expect(fetched, 'a later fetch').to.have.length(2);
  });

  it('FetchCollector requests one report of each replica, and later only what changed since the previous one', async () => {
    replicas = ['http://127.0.0.1:8080', 'https://localhost:8443', 'http://127.0.0.1:9999'];
    await collector.collect();
    expect(hosts.toSorted()).to.deep.equal(['127.0.0.1', 'localhost']);
    await clock.advance(minute);
    await collector.collect();
    expect(requests).to.deep.equal(['/fetches', '/fetches', '/fetches?within=65', '/fetches?within=65']);
  });

  it('FetchCollector keeps the latest fetch of all replicas, also after one restarted', async () => {
    replicas = ['http://127.0.0.1:8080', 'http://localhost:8080'];
    respond = (host) => [
      200,
      formatFetchReport(new Map([[path, { count: 1, secondsAgo: host === 'localhost' ? 5 : 600 }]])),
    ];
    await collector.collect();
    expect(fetches().lastAt).to.equal(now - 5 * second);
    respond = () => [200, formatFetchReport(new Map())];
    await collector.collect();
    expect(fetches()).to.deep.equal({ lastAt: now - 5 * second, complete: true });
  });

  it('FetchCollector requests nothing without an admin port, and reports that nothing is collected', async () => {
    const none = new FetchCollector({
      clock,
      log,
      replicas: () => Promise.resolve(['http://127.0.0.1:8080']),
      adminPort: undefined,
      registrations: () => registrations,
    });
    const stopping = new AbortController();
    const running = none.run(stopping.signal);
    await clock.advance(2 * minute);
    stopping.abort();
    await running;
    await none.close();
    expect(requests).to.deep.equal([]);
    expect(lines).to.deep.equal([]);
    expect(none.fetches('gradebook/canvas', now)).to.deep.equal({ complete: false, notCollected: true });
  });

  it('FetchCollector is not complete without replicas, or while one gives no report, and logs that once', async () => {
    for (const none of [undefined, []]) {
      replicas = none;
      await collector.collect();
      expect(fetches().complete).to.equal(false);
    }
    replicas = ['http://127.0.0.1:8080', 'http://localhost:8080'];
    for (const answer of [
      [404, 'not found'],
      [200, '{}'],
      [200, 'x'.repeat(100)],
    ] as const) {
      respond = (host) => (host === 'localhost' ? [...answer] : [200, '{"fetches":{}}']);
      await collector.collect();
      expect(fetches().complete).to.equal(false);
    }
    expect(lines.map(({ message }) => message)).to.have.length(1);
    expect(String(lines[0]?.fields['error'])).to.match(
      /^Error: http:\/\/localhost:\d+\/fetches: responds with status 404$/,
    );
    respond = () => [200, '{"fetches":{}}'];
    await collector.collect();
    expect(fetches().complete).to.equal(true);
  });

  it('FetchCollector requests everything from a replica that gave no report before', async () => {
    await collector.collect();
    respond = () => [500, ''];
    await collector.collect();
    await collector.collect();
    expect(requests).to.deep.equal(['/fetches', '/fetches?within=5', '/fetches']);
  });

  it('FetchCollector keeps nothing of registrations that no longer exist', async () => {
    await collector.collect();
    registrations = [];
    respond = () => [
      200,
      formatFetchReport(new Map([['/registrations/other/one/jwks.json', { count: 1, secondsAgo: 1 }]])),
    ];
    await collector.collect();
    expect(fetches()).to.deep.equal({ complete: true });
    expect(fetches('other/one')).to.deep.equal({ complete: true });
  });
});
