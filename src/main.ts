import { ConfigError, helpText, parseConfig } from './config.ts';
import { systemClock } from './lib/clock.ts';
import { nodeProblem } from './lib/node-version.ts';
import { createLogger, type Logger } from './observability/log.ts';
import { createRegistry } from './observability/metrics.ts';
import { type Command, commands } from './option-table.ts';
import { version } from './version.ts';

/** The entry point of the operator, which handles arguments, signals and the exit code. It loads only the command that it runs. */

const usage = `Usage: lti-key-operator <command> [options]

Commands:
  controller   creates, rotates and publishes keys
  publisher    publishes keys and changes nothing in the cluster
  jwks         serves the published documents over HTTP

Run lti-key-operator <command> --help for the options of a command, and lti-key-operator --version for the version.
`;

/** A shutdown that takes longer is cut short, because Kubernetes would kill the process soon after. */
const shutdownLimitMs = 30_000;

async function main(args: readonly string[]): Promise<number> {
  const problem = nodeProblem('lti-key-operator', process.version, 'the image of the release');
  if (problem !== undefined) {
    process.stderr.write(`${problem}\n`);
    return 1;
  }
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
  const config = parseConfig(command, args, process.env);
  const log = createLogger({ level: config.logLevel, format: config.logFormat });
  exitOnUnexpectedErrors(log);
  ignoreInspector(log);
  const context = { clock: systemClock, log, registry: createRegistry(version), signal: stopSignal(log) };
  log.info({ version }, `${command} is starting`);
  switch (config.command) {
    case 'controller': {
      const { runController } = await import('./controller/run.ts');
      return runController(config, context);
    }
    case 'publisher': {
      const { runPublisher } = await import('./publish/run.ts');
      return runPublisher(config, context);
    }
    case 'jwks': {
      const { runJwks } = await import('./jwks/run.ts');
      return runJwks(config, context);
    }
  }
}

function stopSignal(log: Logger): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) return;
      log.info({ signal }, 'signal received, shutting down');
      stop.abort();
      setTimeout(() => {
        log.error({}, 'shutdown timed out, exiting');
        process.exit(1);
      }, shutdownLimitMs).unref();
    });
  }
  return stop.signal;
}

/**
 * On SIGUSR1, Node opens an inspector to which every process of the Pod could connect. The image disables that with
 * `--disable-sigusr1`, after which the signal would end the process; this handler ignores it.
 */
function ignoreInspector(log: Logger): void {
  process.on('SIGUSR1', (signal) => log.warn({ signal }, 'ignoring signal'));
}

/** An unexpected error ends the process, which restarts from a known state. No ledger is left half written. */
function exitOnUnexpectedErrors(log: Logger): void {
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      log.error({ error }, 'unexpected error, exiting');
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
  // Open handles must not keep a process alive that no longer works.
  setTimeout(() => process.exit(), shutdownLimitMs).unref();
}
