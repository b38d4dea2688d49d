import { expect } from 'chai';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { second } from '../../src/domain/duration.ts';
import { revocationGrace } from '../../src/domain/timing.ts';
import { sleep, systemClock } from '../../src/lib/clock.ts';
import { type Operator, startOperator, until } from '../fixtures/operator.ts';
import { Tenant } from '../fixtures/tenant.ts';

/** Few enough to be made in seconds, and many enough that a request for each of them would show. */
const names = Array.from({ length: 25 }, (_, index) => `canvas-${index}`);
/** Shorter than the time between two periodic looks at one registration. */
const watched = 15 * second;

/** A replica that can be down: it then closes and counts each connection. Otherwise it answers as the operator's own sidecar. */
class Replica {
  down = true;
  asked = 0;
  /** The URL of the operator's own sidecar. */
  own = '';
  readonly #server: Server;

  constructor() {
    const pass = async (url: string, response: ServerResponse): Promise<void> => {
      const answer = await fetch(this.own + url);
      const headers = { 'cache-control': answer.headers.get('cache-control') ?? '' };
      response.writeHead(answer.status, headers).end(await answer.text());
    };
    this.#server = createServer(({ url = '' }, response) => {
      this.asked += 1;
      if (this.down) response.socket?.destroy();
      else void pass(url, response);
    });
  }

  async start(): Promise<void> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

describe('An outage of all JWKS replicas', () => {
  let tenant: Tenant;
  let operator: Operator;
  let replica: Replica;
  let requests: string[];

  before(async () => {
    tenant = await Tenant.inNewNamespace('outage');
    requests = [];
    replica = new Replica();
    await replica.start();
    operator = await startOperator({
      namespaces: [tenant.namespace],
      targets: (own) => {
        replica.own = own;
        return [replica.url];
      },
      beforeRequest: (verb, type, name) => void requests.push(`${verb} ${type.plural} ${name}`),
    });
  });
  after(async () => {
    await operator.stop();
    replica.stop();
    await tenant.leave();
  });

  it('Registrations that wait for replicas cause no repeated requests to the API server', async () => {
    for (const name of names) await tenant.apply(name);
    for (const name of names) await tenant.untilSays(name, 'Reconciling', 'True WaitingForPublication');
    await operator.rest();
    requests = [];
    replica.asked = 0;
    await sleep(systemClock, watched);
    expect(repeated(requests)).to.deep.equal([]);
    // One in 5 seconds, and those of a rest that was shorter.
    expect(replica.asked, 'questions to the replica').to.be.within(1, 12);
  });

  it('All registrations become Ready when the replicas answer again', async () => {
    replica.down = false;
    for (const name of names) await tenant.untilSays(name, 'Ready', 'True SigningKeyReady');
  });

  it('A revocation that waits for replicas causes no repeated requests, and completes when they answer', async () => {
    const [name = ''] = names;
    const { kid } = await tenant.delivered(name);
    replica.down = true;
    await tenant.edit(name, { revokedKeyIDs: [kid] });
    await until(async () => (await tenant.servedOf(operator.url, name)).keyIDs.length === 2, 'there is a replacement');
    // No replica serves the replacement, so the revoked key leaves without it at the end of its grace.
    await operator.travel(revocationGrace + second);
    await tenant.untilSays(name, 'RevocationEffective', 'False RevokedKeyStillServed');
    await until(async () => !(await tenant.servedOf(operator.url, name)).keyIDs.includes(kid), 'the key is not served');
    await operator.travel(4 * second);
    await operator.rest();
    requests = [];
    await sleep(systemClock, watched);
    expect(repeated(requests)).to.deep.equal([]);
    replica.down = false;
    await tenant.untilSays(name, 'RevocationEffective', 'False RevocationPending');
    await tenant.untilSays(name, 'Ready', 'True SigningKeyReady');
  });
});

/**
 * A registration is read at its place in the minute, and once more if that follows a step of its own. A request that is made for each
 * answer of a replica comes a third time.
 */
function repeated(requests: readonly string[]): readonly string[] {
  return requests.filter((request, index) => requests.slice(0, index).filter((other) => other === request).length > 1);
}
