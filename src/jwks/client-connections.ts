import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable, pipeline } from 'node:stream';
import type { Clock } from '../lib/clock.ts';

/** Larger bodies are written in slices, each after the client has taken the previous one. */
export const sliceBytes = 16_384;
/** A client that has not taken an answer after this long is disconnected. */
export const answerDeadlineMs = 60_000;
/** Memory of an unfinished answer besides its body: request, response and, with TLS, encrypted bytes. */
const answerBytes = 8192;

/**
 * A client with more unanswered requests is disconnected. Browsers, platforms and proxies send one at a time; a client that
 * pipelines sends the unanswered ones again (RFC 9112 §9.3.2).
 */
const mostUnanswered = 16;

export interface ConnectionLimits {
  readonly connections: number;
  /** Estimated memory of all answers that their clients have not taken yet. */
  readonly unfinishedBytes: number;
}

interface Connection {
  readonly socket: Pick<Socket, 'destroy'>;
  /** When the client last made progress, in monotonic milliseconds: it connected, sent a request or took an answer. */
  since: number;
  /** Requests whose answers the client has not taken, with the bodies of the answers. */
  readonly unanswered: Map<IncomingMessage, string | Buffer>;
}

/**
 * The open connections, in the order of their last progress. When a limit is exceeded, the connection without progress for the
 * longest time is closed: its client reads slowly, is silent or idle. A client that is being answered now comes last.
 */
export class ClientConnections {
  readonly #clock: Clock;
  readonly #limits: ConnectionLimits;
  readonly #connections = new Map<string, Connection>();
  /** The bodies of unfinished answers → the number of answers that send them. */
  readonly #bodies = new Map<string | Buffer, number>();
  #unfinishedBytes = 0;

  constructor(clock: Clock, limits: ConnectionLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  get unfinishedBytes(): number {
    return this.#unfinishedBytes;
  }

  /** Adds a connection; with TLS, the TCP connection below it. */
  opened(socket: Socket): void {
    const place = clientAddress(socket);
    const connection: Connection = { socket, since: this.#clock.monotonic(), unanswered: new Map() };
    this.#connections.set(place, connection);
    socket.once('close', () => this.#forget(place, connection));
    if (this.#connections.size > this.#limits.connections) this.#closeFirst(() => true);
  }

  /** Whether a request of this client is unanswered. */
  isAnswering(socket: Socket): boolean {
    return (this.#connections.get(clientAddress(socket))?.unanswered.size ?? 0) > 0;
  }

  /** Counts a request. Returns `false` if its connection is closed, which happens here if too many are unanswered. */
  requested(request: IncomingMessage): boolean {
    const place = clientAddress(request.socket);
    const connection = this.#connections.get(place);
    if (connection === undefined) return false;
    if (connection.unanswered.size === mostUnanswered) {
      this.#close(place, connection);
      return false;
    }
    if (connection.unanswered.size === 0) this.#progress(place, connection);
    this.#hold(connection, request, '');
    return true;
  }

  /** Ends an answer whose headers are written. A string body is ASCII. */
  send(response: ServerResponse, content: string | Buffer = ''): void {
    const { req: request } = response;
    const body = request.method === 'HEAD' ? '' : content;
    if (typeof body === 'string') response.end(body, 'latin1');
    else pipeline(Readable.from(slices(body)), response, () => undefined);
    // The headers of a queued request can take more memory than its answer.
    request.headers = {};
    request.rawHeaders = [];
    const connection = this.#connections.get(clientAddress(request.socket));
    if (connection === undefined || !this.#release(connection, request)) return;
    this.#hold(connection, request, body);
    while (this.#unfinishedBytes > this.#limits.unfinishedBytes)
      this.#closeFirst(({ unanswered }) => unanswered.size > 0);
  }

  /** Counts an answer that the kernel has taken. */
  answered(request: IncomingMessage): void {
    const place = clientAddress(request.socket);
    const connection = this.#connections.get(place);
    if (connection && this.#release(connection, request)) this.#progress(place, connection);
  }

  /** Closes connections that exceed the answer deadline. Call it periodically. */
  sweep(): void {
    const late = this.#clock.monotonic() - answerDeadlineMs;
    for (const [place, connection] of this.#connections) {
      if (connection.since > late) return;
      if (connection.unanswered.size > 0) this.#close(place, connection);
    }
  }

  #progress(place: string, connection: Connection): void {
    if (!this.#connections.delete(place)) return;
    connection.since = this.#clock.monotonic();
    this.#connections.set(place, connection);
  }

  #closeFirst(which: (connection: Connection) => boolean): void {
    for (const [place, connection] of this.#connections) if (which(connection)) return this.#close(place, connection);
  }

  #close(place: string, connection: Connection): void {
    this.#forget(place, connection);
    connection.socket.destroy();
  }

  #forget(place: string, connection: Connection): void {
    // Another client may have connected from the same port.
    if (this.#connections.get(place) === connection) this.#connections.delete(place);
    for (const request of connection.unanswered.keys()) this.#release(connection, request);
  }

  #hold({ unanswered }: Connection, request: IncomingMessage, body: string | Buffer): void {
    unanswered.set(request, body);
    const answers = this.#bodies.get(body) ?? 0;
    this.#bodies.set(body, answers + 1);
    this.#unfinishedBytes += costOf(body, answers === 0);
  }

  /** Whether the request was unanswered. */
  #release({ unanswered }: Connection, request: IncomingMessage): boolean {
    const body = unanswered.get(request);
    if (body === undefined) return false;
    unanswered.delete(request);
    const others = (this.#bodies.get(body) ?? 0) - 1;
    if (others > 0) this.#bodies.set(body, others);
    else this.#bodies.delete(body);
    this.#unfinishedBytes -= costOf(body, others === 0);
    return true;
  }
}

/** Memory of an answer. A body in slices counts as a whole once, and with two slices for each answer. */
function costOf(body: string | Buffer, alone: boolean): number {
  const ofItsOwn = typeof body === 'string' ? body.length : 2 * sliceBytes;
  return answerBytes + ofItsOwn + (alone && typeof body !== 'string' ? body.length : 0);
}

/** The same for a TLS socket and the TCP connection below it. */
function clientAddress({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function* slices(body: Buffer): Generator<Buffer> {
  for (let at = 0; at < body.length; at += sliceBytes) yield body.subarray(at, at + sliceBytes);
}
