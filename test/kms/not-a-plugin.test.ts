import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server as GrpcServer, ServerCredentials, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { KekError } from '../../src/crypto/errors.ts';
import { GrpcKms } from '../../src/crypto/kms/grpc-kms.ts';
import type { WrappedKey } from '../../src/crypto/wrapped-key.ts';
import { minute, second } from '../../src/domain/duration.ts';

/** Deterministic pseudorandom bytes. */
function noise(seed: number, length: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, index) =>
    createHash('sha256').update(`${seed} ${index}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, length);
}

const wrapped: WrappedKey = { keyID: 'key-1', ciphertext: 'AAAA', annotations: {} };

describe('A socket without a KMS plugin behind it', () => {
  let folder: string;
  let socket: string;
  let kms: GrpcKms;
  let stop: () => Promise<void>;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kms-'));
    socket = join(folder, 'kms.sock');
    kms = new GrpcKms({ socket, deadline: second / 2 });
    stop = () => Promise.resolve();
  });
  afterEach(async () => {
    kms.close();
    await stop();
    rmSync(folder, { recursive: true });
  });

  /** The error of each call. */
  async function failures(): Promise<KekError[]> {
    const calls = [() => kms.status(), () => kms.encrypt(Buffer.alloc(32, 7)), () => kms.decrypt(wrapped)];
    const outcomes: KekError[] = [];
    for (const call of calls) {
      const outcome = await call().then(
        (answer) => `the answer ${JSON.stringify(answer)}`,
        (error: unknown) => error,
      );
      if (!(outcome instanceof KekError)) throw new Error(`expected a KekError, got ${String(outcome)}`);
      expect(outcome.message).to.include(`the KMS plugin at ${socket} `);
      outcomes.push(outcome);
    }
    return outcomes;
  }

  const servers: { what: string; connected: (connection: Socket) => void }[] = [
    { what: 'hangs up', connected: (connection) => connection.destroy() },
    { what: 'says nothing', connected: (connection) => connection.resume() },
    { what: 'speaks HTTP/1.1', connected: (connection) => connection.end('HTTP/1.1 400 Bad Request\r\n\r\n') },
    { what: 'writes noise', connected: (connection) => connection.resume().write(noise(1, 100_000)) },
    {
      what: 'greets in HTTP/2 and then writes noise',
      connected: (connection) =>
        connection.resume().write(Buffer.concat([Buffer.from('000000040000000000', 'hex'), noise(2, 100_000)])),
    },
  ];
  for (const { what, connected } of servers) {
    it(`GrpcKms reports KMSUnavailable if the server ${what}`, async () => {
      const connections = new Set<Socket>();
      const server = await new Promise<Server>((listening) => {
        const made = createServer((connection) => {
          connections.add(connection.on('error', () => undefined));
          connected(connection);
        }).listen(socket, () => listening(made));
      });
      stop = () => {
        for (const connection of connections) connection.destroy();
        return new Promise((closed) => server.close(() => closed()));
      };
      const reasons = (await failures()).map(({ reason }) => reason);
      expect(reasons).to.deep.equal(['KMSUnavailable', 'KMSUnavailable', 'KMSUnavailable']);
    });
  }

  type Answer = (error: { code: status; details: string } | null, message?: Buffer) => void;

  /** With a deadline that a busy machine does not reach. */
  function answerAll(bytes: () => Buffer): Promise<void> {
    kms.close();
    kms = new GrpcKms({ socket, deadline: minute });
    return serve((answer) => answer(null, bytes()));
  }

  async function serve(respond: (answer: Answer) => void): Promise<void> {
    const server = new GrpcServer();
    const method = (name: string) => ({
      path: `/v2.KeyManagementService/${name}`,
      requestStream: false,
      responseStream: false,
      requestSerialize: (value: Buffer) => value,
      requestDeserialize: (value: Buffer) => value,
      responseSerialize: (value: Buffer) => value,
      responseDeserialize: (value: Buffer) => value,
    });
    const names = ['Status', 'Encrypt', 'Decrypt'];
    server.addService(
      Object.fromEntries(names.map((name) => [name, method(name)])),
      Object.fromEntries(names.map((name) => [name, (_: unknown, answer: Answer) => respond(answer)])),
    );
    await new Promise<void>((bound, fail) =>
      server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
        error ? fail(error) : bound(),
      ),
    );
    stop = () => Promise.resolve(server.forceShutdown());
  }

  it('GrpcKms reports a timeout, not a refusal, if the plugin itself fails because of the deadline', async () => {
    const gaveUp = { code: status.UNKNOWN, details: 'context deadline exceeded' };
    await serve((answer) => setTimeout(() => answer(gaveUp), 450));
    for (const { reason, message } of await failures()) {
      expect(reason).to.equal('KMSUnavailable');
      expect(message).to.match(/ did not answer (Status|Encrypt|Decrypt) within 0\.5 s: /);
    }
  });

  it('GrpcKms reports KMSMalformed for messages that cannot be decoded or break the rules', async () => {
    const texts = { 'a field of 2 GiB': '0affffffff07', 'an open group': '0b', 'field 0': '00', 'nothing at all': '' };
    let bytes = Buffer.alloc(0);
    await answerAll(() => bytes);
    for (const [what, text] of Object.entries(texts)) {
      bytes = Buffer.from(text, 'hex');
      const reasons = (await failures()).map(({ reason }) => reason);
      expect(reasons, what).to.deep.equal(['KMSMalformed', 'KMSMalformed', 'KMSMalformed']);
    }
  });

  it('GrpcKms reports KMSRefused for an answer that is too large', async () => {
    await answerAll(() => Buffer.alloc(1024 * 1024));
    expect((await failures()).map(({ reason }) => reason)).to.deep.equal(['KMSRefused', 'KMSRefused', 'KMSRefused']);
  });

  it('GrpcKms reports KMSMalformed for 300 random messages', async () => {
    let seed = 0;
    await answerAll(() => noise(seed, 1 + (seed % 80)));
    for (; seed < 300; seed += 1) {
      for (const { reason } of await failures()) expect(reason, `seed ${seed}`).to.equal('KMSMalformed');
    }
  });
});
