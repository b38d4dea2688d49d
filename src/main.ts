import { ConfigError, helpText, parseConfig } from './config.ts';
import { systemClock } from './lib/clock.ts';
import { createLogger, type Logger } from './observability/log.ts';
import { createRegistry } from './observability/metrics.ts';
import { type Command, commands } from './option-table.ts';
import { version } from './version.ts';

/** The only file that sees arguments, signals and the exit. Each command is loaded only when it is the one to run. */

const usage = `Usage: lti-key-operator <command> [options]

  controller   owns and rotates the keys, and publishes them
  publisher    publishes the keys, read-only
  jwks         serves the published documents

lti-key-operator <command> --help lists the options. lti-key-operator --version prints the version.
`;

/** An orderly shutdown that takes longer than this is ended: Kubernetes would kill the process soon after. */
const shutdownLimitMs = 30_000;

async function main(args: readonly string[]): Promise<number> {
  const [first, ...rest] = args;
  if (first === '--version') return print(`${version}\n`);
  if (first === undefined || first === '--help') return print(usage);
  const command = commands.find((name) => name === first);
  if (!command) return refuse(`"${first}" is not a command.\n\n${usage}`);
  if (rest.includes('--help')) return print(helpText(command));
  try {
    await run(command, rest);
    return 0;
  } catch (error) {
    if (error instanceof ConfigError) return refuse(`${error.message}\n`);
    throw error;
  }
}

async function run(command: Command, args: readonly string[]): Promise<void> {
  const { env } = process;
  const config = parseConfig(command, args, env);
  const log = createLogger({ level: config.logLevel, format: config.logFormat });
  exitOnDefects(log);
  ignoreInspector(log);
  const context = { clock: systemClock, log, registry: createRegistry(version), signal: stopSignal(log) };
  log.info({ version }, `${command} is starting`);
  switch (command) {
    case 'controller': {
      const { runController } = await import('./controller/run.ts');
      return runController(parseConfig('controller', args, env), context);
    }
    case 'publisher': {
      const { runPublisher } = await import('./publish/command.ts');
      return runPublisher(parseConfig('publisher', args, env), context);
    }
    case 'jwks': {
      const { runJwks } = await import('./jwks/run.ts');
      return runJwks(parseConfig('jwks', args), context);
    }
  }
}

function stopSignal(log: Logger): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) return;
      log.info({ signal }, 'stopping');
      stop.abort();
      setTimeout(() => {
        log.error({}, 'did not stop in time');
        process.exit(1);
      }, shutdownLimitMs).unref();
    });
  }
  return stop.signal;
}

/**
 * Node opens an inspector, to which every process of the Pod could connect, when it gets SIGUSR1. The commands of the image turn
 * that off (`--disable-sigusr1`), which leaves a signal that ends the process; here it does neither.
 */
function ignoreInspector(log: Logger): void {
  process.on('SIGUSR1', (signal) => log.warn({ signal }, 'the signal is ignored'));
}

/** A defect ends the process: it comes back from a known state, and no ledger is left half written. */
function exitOnDefects(log: Logger): void {
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      log.error({ error }, 'ends because of a defect');
      process.exit(1);
    });
  }
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

function refuse(text: string): number {
  process.stderr.write(text);
  return 2;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`lti-key-operator: ${error instanceof Error ? error.message : 'failed'}\n`);
  process.exitCode = 1;
  // whatever is still open must not keep a process alive that does nothing any more
  setTimeout(() => process.exit(), shutdownLimitMs).unref();
}
