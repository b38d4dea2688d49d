import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { allKeysPath, namespacePath, registrationPath } from '../../../../src/api/names.ts';
import { DocumentFetcher } from '../../../../src/controller/publication/document-fetcher.ts';
import { type KeysToObserve, publicationObserver } from '../../../../src/controller/publication/observer.ts';
import type { PublicJwk } from '../../../../src/domain/public-jwk.ts';
import type { Observation } from '../../../../src/domain/situation.ts';
import { systemClock } from '../../../../src/lib/clock.ts';
import { rsaThumbprint } from '../../../../src/lib/thumbprint.ts';

function jwk(n: string, kid = rsaThumbprint({ n, e: 'AQAB' })): PublicJwk {
  return { kty: 'RSA', use: 'sig', alg: 'RS256', kid, n, e: 'AQAB' };
}

const a = jwk('modulus-a');
const b = jwk('modulus-b');
const own = registrationPath('gradebook', 'canvas');
const aggregates = [namespacePath('gradebook'), allKeysPath];
const everywhere = [own, ...aggregates];

/** What a replica answers at a path: keys, a status, or nothing at all. */
type Answer = readonly PublicJwk[] | number | 'silence';

describe('The publication observer', () => {
  let documents: DocumentFetcher;
  let servers: Server[];
  let bases: string[] | undefined;
  let asked: string[];

  beforeEach(() => {
    documents = new DocumentFetcher(systemClock);
    servers = [];
    bases = [];
    asked = [];
  });
  afterEach(async () => {
    for (const server of servers) server.close().closeAllConnections();
    await documents.close();
  });

  async function replica(answers: Answer | ((path: string) => Answer)): Promise<string> {
    const listener: RequestListener = ({ url: path = '' }, response) => {
      asked.push(path);
      const answer = typeof answers === 'function' ? answers(path) : answers;
      if (answer === 'silence') response.socket?.destroy();
      else if (typeof answer === 'number') response.writeHead(answer, { 'Cache-Control': 'no-store' }).end();
      else {
        response.writeHead(200, { 'Cache-Control': 'public, max-age=300, stale-if-error=3600' });
        response.end(JSON.stringify({ keys: answer }));
      }
    };
    const server = createServer(listener);
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    bases?.push(base);
    return base;
  }

  function observe(keys: Partial<KeysToObserve>, allKeys = true): Promise<Observation> {
    const observer = publicationObserver({ documents, targets: () => Promise.resolve(bases), allKeys });
    return observer.observe('gradebook', 'canvas', { present: [], absent: [], ...keys });
  }

  describe('for a key that should be served', () => {
    const found = async (
      keys: readonly PublicJwk[],
    ): Promise<readonly [served: unknown, missing: unknown, detail: string]> => {
      const { servedKeyIDs, missingKeyIDs, detail } = await observe({ present: keys });
      return [[...servedKeyIDs], [...missingKeyIDs], detail];
    };

    it('The publication observer reports a key as served if every replica has it in every document', async () => {
      await replica([a, b]);
      await replica([b, a]);
      expect(await found([a, b])).to.deep.equal([[a.kid, b.kid], [], '']);
      expect(asked.toSorted()).to.deep.equal([...everywhere, ...everywhere].toSorted());
    });

    for (const path of everywhere) {
      it(`The publication observer names the replica that does not serve the key in ${path}`, async () => {
        await replica([a, b]);
        const base = await replica((at) => (at === path ? [b] : [a, b]));
        expect(await found([a, b])).to.deep.equal([[b.kid], [a.kid], `${base}${path} does not contain key ${a.kid}`]);
      });
    }

    it('The publication observer does not accept a different key with the same ID', async () => {
      const base = await replica((path) => (path === own ? [jwk('another', a.kid)] : [a]));
      expect(await found([a])).to.deep.equal([[], [a.kid], `${base}${own} serves a different key with ID ${a.kid}`]);
    });

    it('The publication observer takes 404 for a document without the expected key', async () => {
      const base = await replica((path) => (path === own ? 404 : [a]));
      expect(await found([a])).to.deep.equal([[], [a.kid], `${base}${own} responds with status 404`]);
    });

    for (const [answer, problem] of [
      [503, 'responds with status 503'],
      ['silence', 'does not respond (UND_ERR_SOCKET)'],
    ] as const) {
      it(`The publication observer does not report a key as missing if a replica ${problem}`, async () => {
        await replica([a]);
        const base = await replica((path) => (path === own ? answer : [a]));
        const [served, missing, detail] = await found([a]);
        expect([served, missing]).to.deep.equal([[], []]);
        expect(detail).to.include(`${base}${own} ${problem}`);
      });
    }

    it('The publication observer looks up a foreign key ID only in the document of the registration', async () => {
      const foreign = jwk('modulus-a', 'old-key');
      await replica((path) => (path === own ? [foreign] : 404));
      expect(await found([foreign])).to.deep.equal([['old-key'], [], '']);
      expect(asked).to.deep.equal([own]);
    });

    it('The publication observer reports no key as served if there is no replica', async () => {
      expect(await found([a])).to.deep.equal([[], [], 'there is no ready replica']);
    });

    it('The publication observer reports no key as served if the list of replicas may be outdated, and sends no request', async () => {
      await replica([a]);
      bases = undefined;
      expect(await found([a])).to.deep.equal([
        [],
        [],
        'the list of ready replicas may be outdated, because the watch on EndpointSlices is not connected',
      ]);
      expect(asked).to.deep.equal([]);
    });

    it('The publication observer names three of many replicas and counts the others', async () => {
      for (let count = 0; count < 5; count++) await replica((path) => (path === own ? [] : [a]));
      const [, , detail] = await found([a]);
      expect(detail.split('; ')).to.have.length(4);
      expect(detail).to.match(/; and 2 more$/);
    });
  });

  describe('for a key that may no longer be served', () => {
    const stillServed = async (keys: Partial<KeysToObserve>): Promise<Record<string, string>> =>
      Object.fromEntries((await observe(keys)).stillServed);

    it('The publication observer reports a revoked key as absent if no replica serves it', async () => {
      await replica([b]);
      await replica([b]);
      expect(await stillServed({ present: [b], absent: [a] })).to.deep.equal({});
    });

    it('The publication observer takes 404 for a document without the revoked key', async () => {
      await replica(404);
      expect(await stillServed({ absent: [a] })).to.deep.equal({});
      expect(asked.toSorted()).to.deep.equal(everywhere.toSorted());
    });

    for (const path of everywhere) {
      it(`The publication observer names the one of two replicas that still serves the key in ${path}`, async () => {
        await replica([b]);
        const base = await replica((at) => (at === path ? [a, b] : [b]));
        expect(await stillServed({ absent: [a] })).to.deep.equal({ [a.kid]: `${base}${path} still serves it` });
      });
    }

    it('The publication observer names the public URL if its cache still serves the key and no replica does', async () => {
      await replica(404);
      const cache = await replica([a]);
      const who = everywhere.map((path) => `${cache}${path} still serves it`).join('; ');
      expect(await stillServed({ absent: [a] })).to.deep.equal({ [a.kid]: who });
    });

    it('The publication observer counts a different key with its ID, and its modulus with another ID', async () => {
      const base = await replica((path) => (path === own ? [jwk('another', a.kid)] : [b]));
      expect(await stillServed({ absent: [a] })).to.deep.equal({ [a.kid]: `${base}${own} still serves it` });
      bases = [];
      const second = await replica((path) => (path === own ? [jwk('modulus-a', 'renamed')] : [b]));
      expect(await stillServed({ absent: [a] })).to.deep.equal({ [a.kid]: `${second}${own} still serves it` });
    });

    for (const [answer, problem] of [
      [503, 'responds with status 503'],
      [500, 'responds with status 500'],
      ['silence', 'does not respond (UND_ERR_SOCKET)'],
    ] as const) {
      it(`The publication observer does not report a revoked key as absent if a replica ${problem}`, async () => {
        await replica([b]);
        const base = await replica((path) => (path === own ? answer : [b]));
        expect((await stillServed({ absent: [a] }))[a.kid]).to.include(`${base}${own} ${problem}`);
      });
    }

    it('The publication observer looks for a key of which only the ID is known, in aggregates only if the ID is a thumbprint', async () => {
      const base = await replica((path) => (path === own ? [b] : [a, jwk('another', 'old')]));
      expect(await stillServed({ absent: [{ kid: 'old' }] })).to.deep.equal({});
      const who = everywhere.filter((path) => path !== own).map((path) => `${base}${path} still serves it`);
      expect(await stillServed({ absent: [{ kid: a.kid }] })).to.deep.equal({ [a.kid]: who.join('; ') });
    });

    it('The publication observer does not report a revoked key as absent if there is no replica', async () => {
      expect(await stillServed({ absent: [a, b] })).to.deep.equal({
        [a.kid]: 'there is no ready replica',
        [b.kid]: 'there is no ready replica',
      });
    });

    it('The publication observer does not report a revoked key as absent if the list of replicas may be outdated', async () => {
      bases = undefined;
      expect(await stillServed({ absent: [a] })).to.deep.equal({
        [a.kid]: 'the list of ready replicas may be outdated, because the watch on EndpointSlices is not connected',
      });
    });

    it("The publication observer looks up a key that another registration still uses only in the registration's document", async () => {
      await replica((path) => (path === own ? [b] : [a, b]));
      expect(await stillServed({ absent: [a], shared: new Set([a.kid]) })).to.deep.equal({});
      expect(asked).to.deep.equal([own]);
      expect(await stillServed({ present: [b], absent: [a], shared: new Set([a.kid]) })).to.deep.equal({});
      expect(Object.keys(await stillServed({ absent: [a] }))).to.deep.equal([a.kid]);
    });

    it("The publication observer names the registration's document if it still serves a key that another registration uses", async () => {
      const base = await replica([a]);
      expect(await stillServed({ absent: [a], shared: new Set([a.kid]) })).to.deep.equal({
        [a.kid]: `${base}${own} still serves it`,
      });
    });

    it('The publication observer attributes a foreign key ID in an aggregate to another registration, unless the modulus is the same', async () => {
      const foreign = jwk('modulus-a', 'key-1');
      await replica((path) => (path === own ? 404 : [jwk('another', 'key-1')]));
      expect(await stillServed({ absent: [foreign] })).to.deep.equal({});
      bases = [];
      await replica((path) => (path === own ? 404 : [foreign]));
      expect(Object.keys(await stillServed({ absent: [foreign] }))).to.deep.equal(['key-1']);
    });

    it('The publication observer bounds the length of the message for URLs of any length', async () => {
      const base = await replica(404);
      bases = Array.from({ length: 10 }, (_, index) => `${base}/${'x'.repeat(2000)}${index}`);
      servers
        .at(-1)
        ?.removeAllListeners('request')
        .on('request', (_request, response) => response.writeHead(503).end());
      expect((await stillServed({ absent: [a] }))[a.kid]?.length).to.be.within(1000, 1500);
    });
  });

  describe('for a replica without the document of all namespaces', () => {
    const without = (keys: readonly PublicJwk[]) => (path: string) => (path === allKeysPath ? 503 : keys);

    it('The publication observer reports a key as served if the other documents contain it', async () => {
      await replica([a]);
      await replica(without([a]));
      expect([...(await observe({ present: [a] })).servedKeyIDs]).to.deep.equal([a.kid]);
    });

    it('The publication observer reports a revoked key as absent if the other documents do not contain it', async () => {
      await replica(without([b]));
      const { stillServed, absentKeyIDs } = await observe({ absent: [a] });
      expect([stillServed.size, [...absentKeyIDs]]).to.deep.equal([0, [a.kid]]);
    });

    for (const [name, answers] of [
      ['of its namespace', (path: string) => (path === aggregates[0] ? 503 : [a])],
      ['of the registration', (path: string) => (path === own || path === allKeysPath ? 503 : [a])],
    ] as const) {
      it(`The publication observer still requires the document ${name}`, async () => {
        await replica(answers);
        expect([...(await observe({ present: [a] })).servedKeyIDs]).to.deep.equal([]);
        expect([...(await observe({ absent: [b] })).absentKeyIDs]).to.deep.equal([]);
      });
    }

    it('The publication observer does not accept any other error for the document of all namespaces', async () => {
      await replica((path) => (path === allKeysPath ? 500 : [a]));
      expect([...(await observe({ present: [a] })).servedKeyIDs]).to.deep.equal([]);
    });
  });

  describe('for a settled registration', () => {
    const requestsOfTwo = async (keys: Partial<KeysToObserve>): Promise<readonly string[]> => {
      await observe({ present: [a] });
      asked = [];
      await observe(keys);
      return asked.toSorted();
    };

    it("The publication observer requests only the registration's document if the aggregates had its key a moment ago", async () => {
      await replica([a]);
      expect(await requestsOfTwo({ present: [a], settled: true })).to.deep.equal([own]);
    });

    it('The publication observer requests every document if an aggregate did not have its key', async () => {
      await replica([a]);
      expect(await requestsOfTwo({ present: [b], settled: true })).to.deep.equal(everywhere.toSorted());
    });

    it('The publication observer requests every document if a key may no longer be served, or is not yet known to be served', async () => {
      await replica([a]);
      expect(await requestsOfTwo({ present: [a], absent: [b], settled: true })).to.deep.equal(everywhere.toSorted());
      expect(await requestsOfTwo({ present: [a] })).to.deep.equal(everywhere.toSorted());
    });
  });

  it('The publication observer does not request the document of all namespaces if it is not published', async () => {
    await replica([a]);
    await observe({ present: [a] }, false);
    expect(asked.toSorted()).to.deep.equal([own, namespacePath('gradebook')].toSorted());
  });

  it('The publication observer returns the longest cache lifetime, also after the documents were removed', async () => {
    let keys: Answer = [a];
    await replica(() => keys);
    expect((await observe({ present: [a] })).cacheLifetime).to.equal(3_900_000);
    keys = 404;
    expect((await observe({ absent: [a] })).cacheLifetime).to.equal(3_900_000);
    bases = [];
    expect((await observe({ absent: [a] })).cacheLifetime).to.equal(3_900_000);
  });
});
