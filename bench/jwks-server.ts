import { runJwks } from '../src/jwks/run.ts';
import { systemClock } from '../src/lib/clock.ts';
import { createLogger } from '../src/observability/log.ts';
import { createRegistry } from '../src/observability/metrics.ts';

/** The sidecar from source, for measuring without a build: `jwks-server.ts <publish directory>`. */
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
await runJwks(
  { publishDir: process.argv[2] ?? '', address: '127.0.0.1:0', adminAddress: '127.0.0.1:0', maxAge: 300 },
  {
    clock: systemClock,
    logger: createLogger({ level: 'info', format: 'json' }),
    registry: createRegistry('bench'),
    signal: stop.signal,
    drainMs: 0,
  },
);
