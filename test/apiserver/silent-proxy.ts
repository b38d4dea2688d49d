import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { ControlPlane } from '../../dev/control-plane/control-plane.ts';

/** Forwards TCP to the API server, until it falls silent as a load balancer does that fails over. */
export class SilentProxy {
  readonly #server: Server;
  readonly #pairs: { readonly near: Socket; readonly far: Socket }[] = [];

  private constructor(upstream: URL) {
    this.#server = createServer((near) => {
      const far = connect(Number(upstream.port), upstream.hostname);
      near.pipe(far).on('error', () => near.destroy());
      far.pipe(near).on('error', () => far.destroy());
      this.#pairs.push({ near, far });
    });
  }

  static async start(upstream: URL): Promise<SilentProxy> {
    const proxy = new SilentProxy(upstream);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  /** As the control plane's own, but through here. */
  kubeconfig(plane: ControlPlane): string {
    const { port } = this.#server.address() as { port: number };
    const file = join(plane.folder, `silent-${port}.kubeconfig`);
    const own = readFileSync(plane.kubeconfig, 'utf8');
    writeFileSync(file, own.replaceAll(plane.url, `https://127.0.0.1:${port}`));
    return file;
  }

  /** Connections that are open stay so, and nothing comes through them again, not even their end; later ones work. */
  silence(): void {
    for (const { near, far } of this.#pairs.splice(0)) {
      near.unpipe(far);
      far.unpipe(near);
      near.resume();
      far.destroy();
    }
  }

  async stop(): Promise<void> {
    for (const { near, far } of this.#pairs) for (const socket of [near, far]) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
