import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Registry } from 'prom-client';
import { type ControllerConfig, parseConfig } from '../../../src/config.ts';
import { runController } from '../../../src/controller/run.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { answerJson, FakeApiServer } from '../../fakes/fake-api-server.ts';
import { recordingLog } from '../../fakes/recording-log.ts';

describe('runController', () => {
  let server: FakeApiServer;
  let folder = '';
  beforeEach(async () => {
    server = await FakeApiServer.start();
    folder = mkdtempSync(join(tmpdir(), 'run-'));
    mkdirSync(join(folder, 'publish'));
    writeFileSync(join(folder, 'kubeconfig'), server.kubeConfig({ token: 't' }).exportConfig());
  });
  afterEach(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  const config = (...options: readonly string[]): ControllerConfig =>
    parseConfig('controller', [
      `--kubeconfig=${join(folder, 'kubeconfig')}`,
      `--kek-dir=${join(folder, 'kek')}`,
      `--publish-dir=${join(folder, 'publish')}`,
      '--metrics-address=127.0.0.1:0',
      ...options,
    ]);
  const context = (signal: AbortSignal) => {
    const { log } = recordingLog();
    return { clock: systemClock, log, registry: new Registry(), signal };
  };

  it('runController rejects with the error of a part that fails, although the others wait for the API server', async () => {
    const { promise: mayLead, reject } = Promise.withResolvers<void>();
    // nothing is ever answered
    const asked = new Promise<void>((resolve) => (server.answer = () => resolve()));
    const running = runController(config(), context(new AbortController().signal), { mayLead });
    await asked;
    reject(new Error('broken'));
    const problem = await running.catch((error: unknown) => error);
    expect(problem).to.have.property('message', 'broken');
  });

  it('runController requests the Lease while the rate limit delays its other requests', async () => {
    let others = 0;
    const held = new Promise<number>((resolve) => {
      server.answer = ({ method, url, body }, response) => {
        if (!url.includes('/leases')) {
          others += 1;
          answerJson(response, 500, { kind: 'Status' });
        } else if (method === 'GET') {
          const details = { name: 'lti-key-operator', kind: 'leases' };
          answerJson(response, 404, { kind: 'Status', reason: 'NotFound', details });
        } else {
          const lease = JSON.parse(body);
          answerJson(response, 200, { ...lease, metadata: { ...lease.metadata, resourceVersion: '1' } });
          resolve(others);
        }
      };
    });
    const stop = new AbortController();
    const mayLead = new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()));
    const options = ['--leader-elect', '--kube-api-qps=1', '--kube-api-burst=1'];
    const running = runController(config(...options), context(stop.signal), { mayLead });
    // the lists of three kinds were asked for before, and one of them a second is let through
    expect(await held).to.be.below(3);
    stop.abort();
    await running;
  });
});
