import { expect } from 'chai';
import { makeCertificate } from '../fixtures/certificate.ts';
import { buildIfStale } from '../fixtures/installed.ts';
import { JwksProcess, keySet } from '../fixtures/jwks-process.ts';
import { type SlowClient, slowClient } from '../fixtures/slow-client.ts';

const path = '/registrations/gradebook/canvas/jwks.json';
const file = 'registration_gradebook_canvas.json';

/** Each attack on a sidecar of its own, all at the same time: most of it is waiting for the sidecar to hang up. */
describe('Clients that keep the jwks container waiting', function () {
  this.timeout(180_000);
  const head = `GET ${path} HTTP/1.1\r\nHost: h\r\nX-Slow: `;
  const attacks: readonly {
    readonly title: string;
    readonly tls?: boolean;
    readonly clients: (port: number) => readonly SlowClient[];
    /** Seconds after which no connection is left. */
    readonly within: number;
    readonly answer?: RegExp;
  }[] = [
    {
      title: 'The sidecar closes connections with slow headers and silent ones, long before a minute',
      clients: (port) => [
        ...Array.from({ length: 50 }, () => slowClient(port, head, 'a')),
        ...Array.from({ length: 50 }, () => slowClient(port, '')),
      ],
      within: 20,
    },
    {
      title: 'The sidecar closes connections whose request body does not arrive',
      clients: (port) =>
        Array.from({ length: 50 }, () =>
          slowClient(port, `POST ${path} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n`, 'a'),
        ),
      within: 30,
      answer: /^HTTP\/1\.1 405 /,
    },
    {
      title: 'The sidecar with TLS closes silent connections, and those that send something else',
      tls: true,
      clients: (port) =>
        Array.from({ length: 100 }, (_, at) =>
          slowClient(port, at % 2 === 0 ? '' : 'GET / HTTP/1.1\r\nHost: h\r\n\r\n'),
        ),
      within: 20,
    },
  ];
  const tlsOptions = ({ folder }: JwksProcess): readonly string[] => {
    const tomorrow = new Date(Date.now() + 86_400_000);
    const { certificate, key } = makeCertificate(folder, 'tls', new Date(0), tomorrow);
    return [`--tls-cert=${certificate}`, `--tls-key=${key}`];
  };
  const sidecars: JwksProcess[] = [];
  const outcomes: { readonly clients: readonly SlowClient[]; readonly seconds: Promise<number[]> }[] = [];

  before(async () => {
    await buildIfStale();
    for (const { tls = false, clients: begin } of attacks) {
      const sidecar = await JwksProcess.create();
      sidecars.push(sidecar);
      sidecar.publish(file, keySet(2));
      await sidecar.start(...(tls ? tlsOptions(sidecar) : []));
      const clients = begin(sidecar.port);
      outcomes.push({ clients, seconds: Promise.all(clients.map(({ closedAfter }) => closedAfter)) });
    }
  });
  after(() => Promise.all(sidecars.map((sidecar) => sidecar.remove())));

  for (const [index, { title, within, answer }] of attacks.entries()) {
    it(title, async () => {
      const { clients, seconds } = outcomes[index]!;
      const longest = Math.max(...(await seconds));
      console.log(`      the connections lived ${longest.toFixed(1)} s at most`);
      expect(longest).to.be.lessThan(within);
      if (answer) for (const client of clients) expect(client.answer()).to.match(answer);
    });
  }
});
