import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable, pipeline } from 'node:stream';
import type { Clock } from '../lib/clock.ts';

/** Larger bodies are written in slices, each when the client has taken the one before. */
export const sliceBytes = 16_384;
/** Everybody who is asked for an answer gets this long to take it. */
export const answerDeadlineMs = 60_000;
/** What an unfinished answer takes beside its body: request, response, and in TLS its encrypted bytes. */
const answerBytes = 8192;

export interface ConnectionLimits {
  readonly connections: number;
  /** Of all answers that their clients have not taken yet. */
  readonly unfinishedBytes: number;
}

interface Connection {
  readonly socket: Pick<Socket, 'destroy'>;
  /** Monotonic milliseconds of its newest progress: opened, asked something, took an answer. */
  since: number;
  /** Answers that the client has not taken, with what they keep in memory. */
  readonly unfinished: Map<ServerResponse, string | Buffer>;
}

/**
 * Who is connected, in the order of their last progress. Where room is short, in connections or in memory, the one without
 * progress for longest is cut: that is who reads slowly, is silent or idle, and never who is being answered now.
 */
export class Connections {
  readonly #clock: Clock;
  readonly #limits: ConnectionLimits;
  readonly #connections = new Map<string, Connection>();
  /** The bodies of unfinished answers, each counted once however many answers send it. */
  readonly #bodies = new Map<string | Buffer, number>();
  #unfinishedBytes = 0;

  constructor(clock: Clock, limits: ConnectionLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  get unfinishedBytes(): number {
    return this.#unfinishedBytes;
  }

  /** A client has connected; with TLS this is the connection below it. */
  opened(socket: Socket): void {
    const place = placeOf(socket);
    const connection: Connection = { socket, since: this.#clock.monotonic(), unfinished: new Map() };
    this.#connections.set(place, connection);
    socket.once('close', () => this.#forget(place, connection));
    if (this.#connections.size > this.#limits.connections) this.#cutFirst(() => true);
  }

  /** Whether the client has not taken an answer yet. */
  isAnswering(socket: Socket): boolean {
    return (this.#connections.get(placeOf(socket))?.unfinished.size ?? 0) > 0;
  }

  /** Ends the answer with this body, whose headers are written; a string is ASCII. */
  send(response: ServerResponse, body: string | Buffer = ''): void {
    const { socket, method } = response.req;
    if (typeof body === 'string' || method === 'HEAD') response.end(body, 'latin1');
    else pipeline(Readable.from(slices(body)), response, () => undefined);
    const place = placeOf(socket);
    const connection = this.#connections.get(place);
    if (connection === undefined) return;
    if (connection.unfinished.size === 0) this.#progress(place, connection);
    // Nearly always the kernel has taken all of it by now.
    if (response.socket !== null && response.writableEnded && socket.writableLength === 0) return;
    connection.unfinished.set(response, body);
    this.#hold(body);
    response.once('finish', () => {
      this.#release(connection, response);
      this.#progress(place, connection);
    });
    while (this.#unfinishedBytes > this.#limits.unfinishedBytes)
      this.#cutFirst(({ unfinished }) => unfinished.size > 0);
  }

  /** Cuts who does not take an answer in time. To be called every now and then. */
  sweep(): void {
    const late = this.#clock.monotonic() - answerDeadlineMs;
    for (const [place, connection] of this.#connections) {
      if (connection.since > late) return;
      if (connection.unfinished.size > 0) this.#cut(place, connection);
    }
  }

  #progress(place: string, connection: Connection): void {
    if (!this.#connections.delete(place)) return;
    connection.since = this.#clock.monotonic();
    this.#connections.set(place, connection);
  }

  #cutFirst(which: (connection: Connection) => boolean): void {
    for (const [place, connection] of this.#connections) if (which(connection)) return this.#cut(place, connection);
  }

  #cut(place: string, connection: Connection): void {
    this.#forget(place, connection);
    connection.socket.destroy();
  }

  #forget(place: string, connection: Connection): void {
    // Another client may have come from the same port.
    if (this.#connections.get(place) === connection) this.#connections.delete(place);
    for (const response of connection.unfinished.keys()) this.#release(connection, response);
  }

  #hold(body: string | Buffer): void {
    const answers = this.#bodies.get(body) ?? 0;
    this.#bodies.set(body, answers + 1);
    this.#unfinishedBytes += costOf(body, answers === 0);
  }

  #release({ unfinished }: Connection, response: ServerResponse): void {
    const body = unfinished.get(response);
    if (body === undefined) return;
    unfinished.delete(response);
    const others = (this.#bodies.get(body) ?? 0) - 1;
    if (others > 0) this.#bodies.set(body, others);
    else this.#bodies.delete(body);
    this.#unfinishedBytes -= costOf(body, others === 0);
  }
}

/** Of an answer with this body; what is in slices is kept as a whole once, and for each answer two slices are on their way. */
function costOf(body: string | Buffer, alone: boolean): number {
  const ofItsOwn = typeof body === 'string' ? body.length : 2 * sliceBytes;
  return answerBytes + ofItsOwn + (alone && typeof body !== 'string' ? body.length : 0);
}

/** What a connection and the TLS on top of it have in common. */
function placeOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function* slices(body: Buffer): Generator<Buffer> {
  for (let at = 0; at < body.length; at += sliceBytes) yield body.subarray(at, at + sliceBytes);
}
