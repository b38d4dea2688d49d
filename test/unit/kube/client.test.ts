import { expect } from 'chai';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { mock } from 'node:test';
import { inspect } from 'node:util';

import { secrets } from '../../../src/api/names.ts';
import { KubeClient } from '../../../src/kube/client.ts';
import { Credentials } from '../../../src/kube/credentials.ts';
import { ApiError, isRefusedWrite, TransportError, type TransportFailure } from '../../../src/kube/errors.ts';
import type { KubeObject, Secret, WatchEvent } from '../../../src/kube/objects.ts';
import { answerJson, FakeApiServer } from '../../fakes/fake-api-server.ts';
import { FakeClock, settle } from '../../fakes/fake-clock.ts';

const configMaps = { group: '', version: 'v1', kind: 'ConfigMap', plural: 'configmaps' };
const widgets = { group: 'example.org', version: 'v1beta1', kind: 'Widget', plural: 'widgets' };
const nodes = { group: '', version: 'v1', kind: 'Node', plural: 'nodes' };

const stored = { metadata: { namespace: 'ns', name: 'a', uid: 'u-1', resourceVersion: '7' } };

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail('The call succeeded'),
    (error: unknown) => error,
  );
}

async function expectTransportError(promise: Promise<unknown>, kind: TransportFailure, message: string): Promise<void> {
  const error = await failure(promise);
  expect(error).to.be.instanceOf(TransportError).and.to.include({ failure: kind, message });
}

describe('KubeClient', () => {
  let server: FakeApiServer;
  let clock: FakeClock;
  let client: KubeClient;
  let metrics: string[];
  let loads: number;

  beforeEach(async () => {
    server = await FakeApiServer.start();
    clock = new FakeClock('2026-06-01T12:00:00.000Z');
    metrics = [];
    loads = 0;
    const credentials = new Credentials(() => server.kubeConfig({ token: `token-${(loads += 1)}` }));
    client = new KubeClient({
      credentials,
      clock,
      userAgent: 'test/1',
      metrics: { request: (method, code) => void metrics.push(`${method} ${code}`) },
    });
  });
  afterEach(async () => {
    await server.stop();
    await client.close();
    expect(clock.pendingTimers, 'timers left behind').to.equal(0);
  });

  describe('requests', () => {
    beforeEach(() => {
      server.answer = ({ method, url }, response) => {
        const collection = method === 'GET' && !/\/(a|x%2Fy)$/.test(url);
        answerJson(response, 200, collection ? { metadata: { resourceVersion: '9' }, items: [] } : stored);
      };
    });
    const listed = {
      namespace: 'ns',
      labelSelector: 'a=b,c',
      fieldSelector: 'metadata.name=x',
      limit: 5,
    };
    const cases: readonly { title: string; call: () => Promise<unknown>; request: string }[] = [
      {
        title: 'get sends a GET for an object of the core group',
        call: () => client.get(configMaps, 'ns', 'a'),
        request: 'GET /api/v1/namespaces/ns/configmaps/a',
      },
      {
        title: 'get sends a GET for an object of a named group',
        call: () => client.get(widgets, 'ns', 'a'),
        request: 'GET /apis/example.org/v1beta1/namespaces/ns/widgets/a',
      },
      {
        title: 'get sends a GET for a cluster-scoped object',
        call: () => client.get(nodes, '', 'a'),
        request: 'GET /api/v1/nodes/a',
      },
      {
        title: 'list sends a GET for all namespaces',
        call: () => client.list(configMaps),
        request: 'GET /api/v1/configmaps?limit=500',
      },
      {
        title: 'list sends a GET with selectors and limit',
        call: () => client.list(configMaps, listed),
        request: 'GET /api/v1/namespaces/ns/configmaps?labelSelector=a%3Db%2Cc&fieldSelector=metadata.name%3Dx&limit=5',
      },
      {
        title: 'create sends a POST',
        call: () => client.create(configMaps, stored),
        request: 'POST /api/v1/namespaces/ns/configmaps',
      },
      {
        title: 'replace sends a PUT',
        call: () => client.replace(configMaps, stored),
        request: 'PUT /api/v1/namespaces/ns/configmaps/a',
      },
      {
        title: 'replaceStatus sends a PUT to the subresource',
        call: () => client.replaceStatus(widgets, stored),
        request: 'PUT /apis/example.org/v1beta1/namespaces/ns/widgets/a/status',
      },
    ];
    for (const { title, call, request } of cases) {
      it(title, async () => {
        await call();
        expect(server.requests.map(({ method, url }) => `${method} ${url}`)).to.deep.equal([request]);
        const [received] = server.requests;
        expect(received?.headers).to.include({
          authorization: 'Bearer token-1',
          accept: 'application/json',
          'user-agent': 'test/1',
        });
        expect(received?.body).to.equal(request.startsWith('GET') ? '' : JSON.stringify(stored));
      });
    }

    it('list reads every page, and rejects as a whole if one cannot be read', async () => {
      const item = (name: string) => ({ metadata: { name, resourceVersion: '7' } });
      const pages = [
        { metadata: { resourceVersion: '9', continue: 'c/1=' }, items: [item('a'), item('b')] },
        { metadata: { resourceVersion: '9', continue: '' }, items: [item('c')] },
      ];
      let statuses = [200, 200];
      server.answer = ({ url }, response) => {
        const page = url.includes('continue=c%2F1%3D') ? 1 : 0;
        answerJson(response, statuses[page]!, pages[page]!);
      };
      const { metadata, items } = await client.list(configMaps, { namespace: 'ns', labelSelector: 'a=b' });
      expect(items.map(({ metadata: { name } }) => name)).to.deep.equal(['a', 'b', 'c']);
      expect(metadata.resourceVersion).to.equal('9');
      const path = '/api/v1/namespaces/ns/configmaps?labelSelector=a%3Db&limit=500';
      expect(server.requests.map(({ url }) => url)).to.deep.equal([path, `${path}&continue=c%2F1%3D`]);
      statuses = [200, 410];
      expect(await failure(client.list(configMaps)))
        .to.be.instanceOf(ApiError)
        .with.property('status', 410);
    });

    it('delete sends the uid and the version of the object as preconditions', async () => {
      await client.delete(configMaps, stored);
      const [received] = server.requests;
      expect(`${received?.method} ${received?.url}`).to.equal('DELETE /api/v1/namespaces/ns/configmaps/a');
      expect(JSON.parse(received?.body ?? '')).to.deep.equal({
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        preconditions: { uid: 'u-1', resourceVersion: '7' },
      });
    });

    it('delete rejects if the server keeps the object because of finalizers, and names them', async () => {
      const finalizers = ['example.org/audit', 'example.org/copy'];
      server.answer = (_request, response) =>
        answerJson(response, 200, { ...stored, metadata: { ...stored.metadata, finalizers } });
      const error = await failure(client.delete(configMaps, stored));
      expect(error)
        .to.satisfy(isRefusedWrite)
        .and.to.have.property('serverMessage', `finalizers ${finalizers.join(', ')}`);
    });

    it('replace and delete reject an object without uid or resource version, and send no request', async () => {
      const { resourceVersion: _version, ...unread } = stored.metadata;
      const { uid: _uid, ...unidentified } = stored.metadata;
      for (const refused of [
        client.replace(configMaps, { metadata: unread }),
        client.replaceStatus(configMaps, { metadata: unread }),
        client.delete(configMaps, { metadata: unread }),
        client.delete(configMaps, { metadata: unidentified }),
      ]) {
        expect(await failure(refused)).to.be.instanceOf(TypeError);
      }
      expect(server.requests).to.deep.equal([]);
    });

    for (const part of ['.', '..', 'a/b', '..%2f']) {
      it(`the client rejects ${part} as a name or namespace, and sends no request`, async () => {
        for (const [call, place] of [
          [client.get(secrets, 'ns', part), `get secrets ns/${part}`],
          [client.get(secrets, part, 'a'), `get secrets ${part}/a`],
          [client.list(secrets, { namespace: part }), `list secrets ${part}`],
          [client.delete(secrets, { metadata: { ...stored.metadata, name: part } }), `delete secrets ns/${part}`],
        ] as const) {
          expect(await failure(call))
            .to.be.instanceOf(TypeError)
            .with.property('message', `${place}: "${part}" cannot be the name of an object`);
        }
        expect(server.requests).to.deep.equal([]);
      });
    }

    it('the client rejects an empty name, and sends no request', async () => {
      expect(await failure(client.get(secrets, 'ns', ''))).to.be.instanceOf(TypeError);
      expect(server.requests).to.deep.equal([]);
    });

    it('the client reuses its connections', async () => {
      for (let call = 0; call < 20; call++) await client.get(configMaps, 'ns', 'a');
      // a second one if a request begins before undici has released the connection of the previous one
      expect(server.connections.length).to.be.at.most(2);
      expect(metrics).to.deep.equal(Array.from({ length: 20 }, () => 'GET 200'));
    });
  });

  it('the client removes managedFields, and adds apiVersion and kind to the items of a list', async () => {
    const item = { metadata: { ...stored.metadata, managedFields: [{ manager: 'kubectl' }] }, data: { k: 'v' } };
    server.answer = ({ url }, response) =>
      answerJson(
        response,
        200,
        url.endsWith('/a') ? item : { metadata: { resourceVersion: '9', continue: '' }, items: [item] },
      );
    const expected = { apiVersion: 'example.org/v1beta1', kind: 'Widget', metadata: stored.metadata, data: { k: 'v' } };
    expect(await client.get(widgets, 'ns', 'a')).to.deep.equal(expected);
    expect(await client.list(widgets)).to.deep.equal({ metadata: { resourceVersion: '9' }, items: [expected] });
  });

  describe('malformed answers', () => {
    const body = JSON.stringify(stored);
    const cases: readonly {
      title: string;
      answer: (response: ServerResponse) => void;
      kind: TransportFailure;
      says: string;
    }[] = [
      {
        title: 'the client rejects a body shorter than its Content-Length, although it parses',
        answer: (response) => {
          response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length + 5 });
          response.write(body, () => response.destroy());
        },
        kind: 'Connection',
        says: 'the connection to the API server failed (UND_ERR_SOCKET)',
      },
      {
        title: 'the client rejects incomplete JSON in a complete HTTP body',
        answer: (response) => answerText(response, 'application/json', body.slice(0, -1)),
        kind: 'Malformed',
        says: 'the answer is not a JSON object, or is incomplete',
      },
      {
        title: 'the client rejects an HTML body',
        answer: (response) => answerText(response, 'text/html', '<html>secret</html>'),
        kind: 'Malformed',
        says: 'the answer is not JSON',
      },
      {
        title: 'the client rejects an HTML body with the content type of JSON',
        answer: (response) => answerText(response, 'application/json', '<html>secret</html>'),
        kind: 'Malformed',
        says: 'the answer is not a JSON object, or is incomplete',
      },
      {
        title: 'the client rejects an object of another name',
        answer: (response) => answerJson(response, 200, { metadata: { ...stored.metadata, name: 'b' } }),
        kind: 'Malformed',
        says: 'the answer is another object',
      },
      {
        title: 'the client rejects an object without a resource version',
        answer: (response) => answerJson(response, 200, { metadata: { name: 'a' } }),
        kind: 'Malformed',
        says: 'the answer is an object without a name or resource version',
      },
      {
        title: 'the client reports a reset connection',
        answer: (response) => response.destroy(),
        kind: 'Connection',
        says: 'the connection to the API server failed (UND_ERR_SOCKET)',
      },
    ];
    for (const { title, answer, kind, says } of cases) {
      it(title, async () => {
        server.answer = (_request, response) => answer(response);
        await expectTransportError(client.get(configMaps, 'ns', 'a'), kind, `get configmaps ns/a: ${says}`);
      });
    }

    it('the client rejects a list without a resource version', async () => {
      server.answer = (_request, response) => answerJson(response, 200, { metadata: {}, items: [] });
      await expectTransportError(client.list(configMaps), 'Malformed', 'list configmaps: the answer is not a list');
    });

    it('the client does not follow a redirect', async () => {
      server.answer = (_request, response) => response.writeHead(302, { location: '/elsewhere' }).end();
      const error = await failure(client.get(configMaps, 'ns', 'a'));
      expect(error).to.be.instanceOf(ApiError).with.property('message', 'get configmaps ns/a: 302');
      expect(server.requests).to.have.length(1);
    });
  });

  it('the client reports a refused connection', async () => {
    const config = server.kubeConfig();
    await server.stop();
    const other = new KubeClient({ credentials: new Credentials(() => config), clock, userAgent: 'test/1' });
    await expectTransportError(
      other.get(configMaps, 'ns', 'a'),
      'Connection',
      'get configmaps ns/a: the connection to the API server failed (ECONNREFUSED)',
    );
    server = await FakeApiServer.start();
  });

  describe('the deadline of 30 s', () => {
    for (const [title, answer] of [
      ['the client rejects a request without an answer', () => undefined],
      [
        'the client rejects a request with half an answer',
        (_request: unknown, response: ServerResponse) => {
          response.writeHead(200, { 'content-type': 'application/json' }).write('{"metadata":');
        },
      ],
    ] as const) {
      it(title, async () => {
        const asked = new Promise<void>((resolve) => {
          server.answer = (_request, response) => {
            answer(_request, response);
            resolve();
          };
        });
        const error = failure(client.get(configMaps, 'ns', 'a'));
        await asked;
        await clock.advance(29_999);
        expect(await Promise.race([error, Promise.resolve('pending')])).to.equal('pending');
        await clock.advance(1);
        expect(await error)
          .to.be.instanceOf(TransportError)
          .with.property('message', 'get configmaps ns/a: no answer within 30 s');
      });
    }
  });

  describe('refused credentials (401)', () => {
    it('the client reloads its credentials and retries once', async () => {
      server.answer = ({ headers }, response) => {
        if (headers.authorization === 'Bearer token-2') answerJson(response, 200, stored);
        else refuseCredentials(response);
      };
      await client.get(configMaps, 'ns', 'a');
      await client.get(configMaps, 'ns', 'a');
      expect(metrics).to.deep.equal(['GET 401', 'GET 200', 'GET 200']);
    });

    it('the client rejects with 401 if the reloaded credentials are refused, too', async () => {
      server.answer = (_request, response) => refuseCredentials(response);
      const error = await failure(client.get(configMaps, 'ns', 'a'));
      expect(error)
        .to.be.instanceOf(ApiError)
        .with.property('message', 'get configmaps ns/a: 401 Unauthorized: Unauthorized');
      expect([loads, server.requests.length]).to.deep.equal([2, 2]);
    });
  });

  it('the client opens new connections if the certificate authority changes, and only then', async () => {
    const config = server.kubeConfig({}, 'Zmlyc3Q=');
    const other = new KubeClient({ credentials: new Credentials(() => config), clock, userAgent: 'test/1' });
    server.answer = (_request, response) => answerJson(response, 200, stored);
    await other.get(configMaps, 'ns', 'a');
    const before = [...server.connections];
    await other.get(configMaps, 'ns', 'a');
    await other.get(configMaps, 'ns', 'a');
    expect(server.connections.length).to.be.at.most(2);
    const closed = before.map((connection) => once(connection, 'close'));
    config.clusters = config.clusters.map((cluster) => ({ ...cluster, caData: 'c2Vjb25k' }));
    // credentials are read once a second
    await clock.advance(1000);
    await other.get(configMaps, 'ns', 'a');
    expect(server.requests.at(-1)?.connection).not.to.be.oneOf(before);
    await Promise.all(closed);
    await other.close();
  });

  it('the error has the Retry-After of the answer', async () => {
    server.answer = (_request, response) => answerJson(response, 429, {}, { 'retry-after': '5' });
    expect(await failure(client.get(configMaps, 'ns', 'a'))).to.have.property('retryAfter', 5000);
  });

  it('no error contains a value of a Secret', async () => {
    const value = 'dG9wLXNlY3JldA==';
    const secret: Secret = { metadata: { ...stored.metadata, name: 's' }, data: { key: value } };
    const answers: ((response: ServerResponse) => void)[] = [
      (response) =>
        answerJson(response, 422, { kind: 'Status', reason: 'Invalid', message: `Invalid value: ${value}` }),
      (response) => answerJson(response, 500, secret),
      (response) => answerText(response, 'application/json', JSON.stringify(secret).slice(0, -2)),
      (response) => answerText(response, 'text/plain', value),
      (response) => answerJson(response, 200, { ...secret, metadata: { name: value } }),
      (response) => {
        response.socket?.end(`HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n${value}`);
      },
    ];
    for (const answer of answers) {
      server.answer = (_request, response) => answer(response);
      for (const call of [() => client.create(secrets, secret), () => client.replace(secrets, secret)]) {
        const error = await failure(call());
        expect(inspect(error, { depth: 10, showHidden: true })).not.to.contain(value);
      }
    }
  });

  it('the error of a refused Secret has the message of the server', async () => {
    const secret: Secret = { metadata: { ...stored.metadata, name: 's' }, data: { key: 'dG9wLXNlY3JldA==' } };
    const message = 'secrets "s" is forbidden: exceeded quota: q';
    server.answer = (_request, response) => answerJson(response, 403, { kind: 'Status', reason: 'Forbidden', message });
    for (const call of [
      client.create(secrets, secret),
      client.replace(secrets, secret),
      client.delete(secrets, secret),
    ]) {
      expect(await failure(call))
        .to.be.instanceOf(ApiError)
        .with.property('serverMessage', message);
    }
  });

  it('the rate limit applies to requests, and not to watches', async () => {
    server.answer = (_request, response) =>
      answerJson(response, 200, { metadata: { resourceVersion: '9' }, items: [] });
    const credentials = new Credentials(() => server.kubeConfig());
    const limited = new KubeClient({ credentials, clock, userAgent: 'test/1', rate: { qps: 1, burst: 2 } });
    const lists = [1, 2, 3].map(() => limited.list(configMaps));
    await Promise.all(lists.slice(0, 2));
    const stop = new AbortController();
    await limited.watch(configMaps, { resourceVersion: '9', timeoutSeconds: 5 }, stop.signal);
    expect(server.requests).to.have.length(3);
    await clock.advance(1_000);
    await lists[2];
    expect(server.requests).to.have.length(4);
    stop.abort();
    await limited.close();
  });

  it('a list leaves no listener on its signal', async () => {
    const added = mock.method(EventTarget.prototype, 'addEventListener');
    const removed = mock.method(EventTarget.prototype, 'removeEventListener');
    try {
      server.answer = (_request, response) =>
        answerJson(response, 200, { metadata: { resourceVersion: '9' }, items: [] });
      const { signal } = new AbortController();
      for (let call = 0; call < 3; call++) await client.list(configMaps, {}, signal);
      // undici releases the last answer a moment later
      await settle();
    } finally {
      mock.restoreAll();
    }
    const listeners = (calls: typeof added.mock.calls): unknown[] =>
      calls.filter(({ arguments: [type] }) => type === 'abort').map(({ arguments: [, listener] }) => listener);
    const gone = new Set(listeners(removed.mock.calls));
    expect(listeners(added.mock.calls)).not.to.deep.equal([]);
    expect(listeners(added.mock.calls).filter((listener) => !gone.has(listener))).to.deep.equal([]);
  });

  it("clockSkew returns the local clock minus the API server's", async () => {
    expect(client.clockSkew()).to.equal(undefined);
    for (const [date, expected] of [
      ['Mon, 01 Jun 2026 11:50:00 GMT', 599_500],
      ['Mon, 01 Jun 2026 12:10:00 GMT', -600_500],
      ['nonsense', -600_500],
    ] as const) {
      server.answer = (_request, response) => answerJson(response, 200, stored, { date });
      await client.get(configMaps, 'ns', 'a');
      expect(client.clockSkew()).to.equal(expected);
    }
  });

  it('clockSkew subtracts half of the round trip', async () => {
    const asked = new Promise<ServerResponse>((resolve) => {
      server.answer = (_request, response) => resolve(response);
    });
    const answered = client.get(configMaps, 'ns', 'a');
    const response = await asked;
    await clock.advance(10_000);
    answerJson(response, 200, stored, { date: 'Mon, 01 Jun 2026 12:00:05 GMT' });
    await answered;
    expect(client.clockSkew()).to.equal(-500);
  });

  describe('watches', () => {
    const from = { namespace: 'ns', resourceVersion: '7', timeoutSeconds: 300 };
    let stop: AbortController;
    beforeEach(() => (stop = new AbortController()));
    afterEach(() => stop.abort());

    async function watch(write: (response: ServerResponse) => void): Promise<AsyncIterable<WatchEvent<KubeObject>>> {
      server.answer = (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
        write(response);
      };
      return client.watch(configMaps, from, stop.signal);
    }

    it('watch requests bookmarks, from a version', async () => {
      await collect(await watch((response) => response.end()));
      expect(server.requests[0]?.url).to.equal(
        '/api/v1/namespaces/ns/configmaps?watch=true&allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=300',
      );
    });

    it('watch resolves before the first event', async () => {
      await watch(() => undefined);
    });

    it('the events are one per line, wherever the chunks end', async () => {
      const bytes = Buffer.from(
        `${line('ADDED', 'å-€-😀', '8')}\n${line('MODIFIED', 'b', '9')}${line('DELETED', 'b', '10')}`,
      );
      const events = await watch((response) => {
        response.socket?.setNoDelay(true);
        const send = (at: number): void => {
          if (at < bytes.length) response.write(bytes.subarray(at, at + 7), () => setImmediate(send, at + 7));
          else response.end('{"type":"BOOKMARK","object":{"kind":"ConfigMap","metadata":{"resourceVersion":"11"}}}\n');
        };
        send(0);
      });
      expect(await collect(events)).to.deep.equal([
        'ADDED å-€-😀 8',
        'MODIFIED b 9',
        'DELETED b 10',
        'BOOKMARK  11',
        'end',
      ]);
    });

    const status = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };
    for (const [title, text, expected] of [
      [
        'an ERROR event',
        `${JSON.stringify({ type: 'ERROR', object: status })}\n`,
        'ApiError: watch configmaps ns: 410 Expired: too old resource version',
      ],
      ['an ERROR event without Status', '{"type":"ERROR"}\n', 'ApiError: watch configmaps ns: 500'],
      [
        'a malformed line',
        '{"type":"ADDED","obj\n',
        'TransportError: watch configmaps ns: the answer has a line that is not a watch event',
      ],
      [
        'an unknown type',
        '{"type":"GUESSED","object":{}}\n',
        'TransportError: watch configmaps ns: the answer has a line that is not a watch event',
      ],
      [
        'an event without object',
        '{"type":"ADDED"}\n',
        'TransportError: watch configmaps ns: the answer is not a Kubernetes object',
      ],
      [
        'an object without version',
        '{"type":"ADDED","object":{"metadata":{"name":"x"}}}\n',
        'TransportError: watch configmaps ns: the answer is an object without a name or resource version',
      ],
      [
        'a bookmark without version',
        '{"type":"BOOKMARK","object":{"metadata":{}}}\n',
        'TransportError: watch configmaps ns: the answer has a bookmark without a resource version',
      ],
      [
        'an incomplete last line',
        '{"type":"ADDED"',
        'TransportError: watch configmaps ns: the answer ends within an event',
      ],
    ] as const) {
      it(`the events before ${title} arrive, and then an error`, async () => {
        const events = await watch((response) => response.end(line('ADDED', 'a', '8') + text));
        expect(await collect(events)).to.deep.equal(['ADDED a 8', expected]);
      });
    }

    it('the events throw if the connection breaks', async () => {
      const events = await watch((response) => response.write(line('ADDED', 'a', '8'), () => response.destroy()));
      expect(await collect(events)).to.deep.equal([
        'ADDED a 8',
        'TransportError: watch configmaps ns: the connection to the API server failed (UND_ERR_SOCKET)',
      ]);
    });

    it('a watch outlasts the deadline of a request', async () => {
      const connected = Promise.withResolvers<ServerResponse>();
      const events = collect(await watch((response) => connected.resolve(response)));
      await clock.advance(10 * 60_000);
      (await connected.promise).end(line('ADDED', 'a', '8'));
      expect(await events).to.deep.equal(['ADDED a 8', 'end']);
    });

    it('an aborted signal closes the connection of the watch', async () => {
      const connected = Promise.withResolvers<ServerResponse>();
      const events = collect(await watch((response) => connected.resolve(response)));
      const closed = once(await connected.promise, 'close');
      stop.abort();
      expect(await events).to.deep.equal(['AbortError: This operation was aborted']);
      await closed;
    });

    it('forty watches do not delay a request', async () => {
      server.answer = ({ url }, response) => {
        if (url.includes('watch=true')) response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
        else answerJson(response, 200, stored);
      };
      await Promise.all(Array.from({ length: 40 }, () => client.watch(configMaps, from, stop.signal)));
      await client.get(configMaps, 'ns', 'a');
      expect(server.requests).to.have.length(41);
    });

    it('watch rejects if the server refuses it', async () => {
      server.answer = (_request, response) => answerText(response, 'text/plain', '404 page not found', 404);
      const error = await failure(client.watch(configMaps, from, stop.signal));
      expect(error).to.be.instanceOf(ApiError).with.property('missing', 'resource type');
    });
  });
});

function answerText(response: ServerResponse, contentType: string, text: string, status = 200): void {
  response.writeHead(status, { 'content-type': contentType }).end(text);
}

function refuseCredentials(response: ServerResponse): void {
  answerJson(response, 401, { kind: 'Status', reason: 'Unauthorized', message: 'Unauthorized' });
}

async function collect(events: AsyncIterable<WatchEvent<KubeObject>>): Promise<string[]> {
  const seen: string[] = [];
  try {
    for await (const { type, object } of events) {
      seen.push(`${type} ${'name' in object.metadata ? object.metadata.name : ''} ${object.metadata.resourceVersion}`);
    }
    return [...seen, 'end'];
  } catch (error) {
    return [...seen, String(error)];
  }
}

function line(type: string, name: string, resourceVersion: string): string {
  return `${JSON.stringify({ type, object: { metadata: { name, uid: 'u', resourceVersion } } })}\n`;
}
