import { readFileSync } from 'node:fs';
import { Agent, request as httpsRequest, createServer } from 'node:https';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { dirname, join } from 'node:path';
import type { ControlPlane } from '../../dev/control-plane/control-plane.ts';

/** A write on its way to the API server. */
export interface Write {
  /** What it does, as `PUT secrets/canvas-lti-keys` or `PUT ltikeys/canvas-1/status`; a create has the new name too. */
  readonly what: string;
  readonly namespace: string;
  /** How many writes of this kind to this object came before it, itself included: 1 for the first. */
  readonly occurrence: number;
}

/**
 * What becomes of a write: it never reaches the API server, or it is committed and its answer lost (both after `crash`),
 * or it is answered in the API server's place.
 */
export type Fault =
  | { readonly kind: 'before' | 'after'; readonly crash?: () => Promise<void> }
  | { readonly kind: 'answer'; readonly status: number; readonly reason: string; readonly retryAfter?: number };

export interface FaultProxy {
  readonly url: string;
  /** Every write of a namespace, in the order in which they came. */
  writes(namespace: string): readonly Write[];
  /** Asked before each write; `undefined` lets it pass. */
  decide: (write: Write) => Fault | undefined;
  close(): Promise<void>;
}

/** Stands in front of the API server with that one's own certificate, so that a client needs another URL only. */
export async function startProxy(plane: ControlPlane): Promise<FaultProxy> {
  const certificates = dirname(plane.caFile);
  const tls = {
    cert: readFileSync(join(certificates, 'apiserver.crt')),
    key: readFileSync(join(certificates, 'apiserver.key')),
  };
  const upstream = { agent: new Agent({ keepAlive: true, ca: tls.cert }), base: plane.url };
  const seen: Write[] = [];
  const counts = new Map<string, number>();

  function note(request: IncomingMessage, body: Buffer): Write | undefined {
    const place = placeOf(request, body);
    if (place === undefined) return undefined;
    const key = `${place.namespace} ${place.what}`;
    const occurrence = (counts.get(key) ?? 0) + 1;
    counts.set(key, occurrence);
    const write = { ...place, occurrence };
    seen.push(write);
    return write;
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bytes(request);
    const write = note(request, body);
    const fault = write && proxy.decide(write);
    if (fault?.kind === 'answer') return answer(response, fault);
    if (fault?.kind === 'before') {
      await fault.crash?.();
      request.socket.destroy();
      return;
    }
    if (fault?.kind !== 'after') return forward(upstream, request, body, response);
    await committed(upstream, request, body);
    await fault.crash?.();
    request.socket.destroy();
  }

  const server = createServer(tls, (request, response) => {
    serve(request, response).catch(() => request.socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const proxy: FaultProxy = {
    url: `https://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    writes: (namespace) => seen.filter((write) => write.namespace === namespace),
    decide: () => undefined,
    async close() {
      server.closeAllConnections();
      upstream.agent.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}

/** Writes of the operator's state. Events and Leases may get lost without anybody missing them. */
function placeOf({ method = '', url = '' }: IncomingMessage, body: Buffer): Omit<Write, 'occurrence'> | undefined {
  const match = /\/namespaces\/([^/]+)\/(secrets|ltikeys|ltiregistrations)(\/[^?]*)?/.exec(url);
  if (match === null || method === 'GET') return undefined;
  const [, namespace = '', resource = '', rest] = match;
  const name = rest ?? `/${(JSON.parse(body.toString()) as { metadata: { name: string } }).metadata.name}`;
  return { namespace, what: `${method} ${resource}${name}` };
}

type Upstream = { readonly agent: Agent; readonly base: string };

function send({ agent, base }: Upstream, request: IncomingMessage, body: Buffer): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', url = '/' } = request;
    const onward = httpsRequest(new URL(url, base), { method, agent, headers: endToEnd(request.headers) }, resolve);
    onward.on('error', reject);
    onward.end(body);
  });
}

async function forward(to: Upstream, request: IncomingMessage, body: Buffer, response: ServerResponse): Promise<void> {
  const answered = await send(to, request, body);
  response.writeHead(answered.statusCode ?? 502, endToEnd(answered.headers));
  response.flushHeaders();
  answered.on('error', () => response.destroy());
  // A watch ends upstream when its client is gone.
  response.once('close', () => answered.destroy());
  answered.pipe(response);
}

async function committed(to: Upstream, request: IncomingMessage, body: Buffer): Promise<void> {
  await bytes(await send(to, request, body));
}

function answer(response: ServerResponse, fault: Extract<Fault, { kind: 'answer' }>): void {
  const { status: code, reason, retryAfter } = fault;
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason, code, message: reason };
  response.writeHead(code, {
    'content-type': 'application/json',
    ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
  });
  response.end(JSON.stringify(status));
}

function endToEnd(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const { connection: _c, 'transfer-encoding': _t, 'keep-alive': _k, host: _h, ...rest } = headers;
  return rest;
}

async function bytes(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
