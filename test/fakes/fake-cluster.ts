import { writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import type { KubeObject } from '../../src/kube/objects.ts';
import { answerJson, FakeApiServer, type ReceivedRequest } from './fake-api-server.ts';

interface DeleteOptions {
  readonly preconditions: { readonly resourceVersion?: string };
}

/** An API server that keeps objects in memory: enough for the requests of `kubectl lti`. */
export class FakeCluster {
  readonly #server: FakeApiServer;
  /** By paths such as `/api/v1/namespaces/gradebook/secrets/canvas`. */
  readonly objects = new Map<string, KubeObject>();
  /** Requests whose method and path match are refused with 403. */
  forbidden: RegExp = /^$/;
  /** Called before an object is deleted: what another client does at that moment. */
  beforeDelete: () => void = () => undefined;
  /** Open watches by the paths of their collections. */
  readonly #watches: { readonly prefix: string; readonly response: ServerResponse }[] = [];

  private constructor(server: FakeApiServer) {
    this.#server = server;
    server.answer = (request, response) => this.#answer(request, response);
  }

  static async start(): Promise<FakeCluster> {
    return new FakeCluster(await FakeApiServer.start());
  }

  /** Writes a kubeconfig for this server. */
  writeKubeconfig(file: string): void {
    writeFileSync(file, this.#server.kubeConfig().exportConfig());
  }

  /** `collection` as `/api/v1/namespaces/gradebook/secrets`. */
  put(collection: string, object: KubeObject): void {
    const metadata = { resourceVersion: '1', uid: `uid-${this.objects.size}`, ...object.metadata };
    this.objects.set(`${collection}/${object.metadata.name}`, { ...object, metadata });
    this.#notify('MODIFIED', `${collection}/${object.metadata.name}`, { ...object, metadata });
  }

  remove(path: string): void {
    const object = this.objects.get(path);
    this.objects.delete(path);
    if (object) this.#notify('DELETED', path, object);
  }

  /** How many watches are open. */
  get watches(): number {
    return this.#watches.length;
  }

  #notify(type: string, path: string, object: KubeObject): void {
    for (const { prefix, response } of this.#watches) {
      if (path.startsWith(prefix)) response.write(`${JSON.stringify({ type, object })}\n`);
    }
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  #answer({ method, url, body }: ReceivedRequest, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(url, 'http://fake');
    if (this.forbidden.test(`${method} ${pathname}`)) return refuse(response, 403, 'Forbidden');
    if (pathname === '/apis/ltikeys.dev') {
      return answerJson(response, 200, { kind: 'APIGroup', versions: [{ version: 'v1alpha1' }] });
    }
    if (pathname.startsWith('/apis/authorization.k8s.io/'))
      return answerJson(response, 201, { status: { allowed: true } });
    if (searchParams.get('watch') === 'true') {
      response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
      return void this.#watches.push({ prefix: pathname, response });
    }
    if (method === 'DELETE') return this.#delete(pathname, JSON.parse(body) as DeleteOptions, response);
    if (method === 'POST') return this.#create(pathname, JSON.parse(body) as KubeObject, response);
    if (method === 'PUT') {
      this.put(pathname.slice(0, pathname.lastIndexOf('/')), JSON.parse(body) as KubeObject);
      return answerJson(response, 200, this.objects.get(pathname)!);
    }
    const found = this.objects.get(pathname);
    if (found) return answerJson(response, 200, found);
    const [, plural = '', name] = /\/([a-z]+)(?:\/([^/]+))?$/.exec(pathname) ?? [];
    if (this.#isObject(pathname)) return refuse(response, 404, 'NotFound', { kind: plural, name });
    return this.#list(pathname, searchParams.get('fieldSelector'), response);
  }

  /** Collections of namespaces, and of the cluster, have an odd and an even place in the path. */
  #isObject(path: string): boolean {
    const parts = path.replace(/^\/(?:api|apis\/[^/]+)\/[^/]+\//, '').split('/');
    return parts.length % 2 === 0;
  }

  #create(collection: string, object: KubeObject, response: ServerResponse): void {
    const path = `${collection}/${object.metadata.name}`;
    if (this.objects.has(path)) return refuse(response, 409, 'AlreadyExists');
    this.put(collection, object);
    answerJson(response, 201, this.objects.get(path)!);
  }

  #delete(path: string, { preconditions }: DeleteOptions, response: ServerResponse): void {
    this.beforeDelete();
    const version = this.objects.get(path)?.metadata.resourceVersion;
    if (version !== preconditions.resourceVersion) return refuse(response, 409, 'Conflict');
    this.remove(path);
    answerJson(response, 200, { kind: 'Status', status: 'Success' });
  }

  #list(collection: string, fieldSelector: string | null, response: ServerResponse): void {
    const [prefix = '', plural = ''] = collection.split(/\/([a-z]+)$/);
    const type = /^type=(.*)$/.exec(fieldSelector ?? '')?.[1];
    const items = [...this.objects]
      .filter(([path]) => path.startsWith(prefix) && path.split('/').at(-2) === plural)
      .map(([, object]) => object)
      .filter((object) => type === undefined || ('type' in object && object.type === type));
    answerJson(response, 200, { metadata: { resourceVersion: '1' }, items });
  }
}

function refuse(response: ServerResponse, status: number, reason: string, details: object = {}): void {
  answerJson(response, status, { kind: 'Status', reason, message: reason, details });
}
