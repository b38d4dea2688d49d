import { Command, CommanderError } from 'commander';
import { ApiError, TransportError } from '../kube/errors.ts';
import { version } from '../version.ts';
import { acknowledgeCommand } from './commands/acknowledge.ts';
import { backupCommand } from './commands/backup.ts';
import { completionCommand } from './commands/completion.ts';
import { devCommand } from './commands/dev.ts';
import { doctorCommand } from './commands/doctor.ts';
import { importCommand } from './commands/import.ts';
import { importRegistrationCommand } from './commands/import-registration.ts';
import { kekCommand } from './commands/kek.ts';
import { planCommand } from './commands/plan.ts';
import { publicKeyCommand } from './commands/public-key.ts';
import { restoreCommand } from './commands/restore.ts';
import { revokeCommand } from './commands/revoke.ts';
import { rotateCommand } from './commands/rotate.ts';
import { statusCommand } from './commands/status.ts';
import { verifyCommand } from './commands/verify.ts';
import { CliError, type ExitCode, exitCodes } from './exit-codes.ts';
import { leafCommands } from './leaf-commands.ts';
import type { Terminal } from './terminal.ts';

/** The subcommands, in the order in which `--help` lists them. */
const subcommands: readonly ((terminal: Terminal) => Command)[] = [
  statusCommand,
  planCommand,
  rotateCommand,
  revokeCommand,
  acknowledgeCommand,
  publicKeyCommand,
  verifyCommand,
  doctorCommand,
  kekCommand,
  importCommand,
  importRegistrationCommand,
  backupCommand,
  restoreCommand,
  devCommand,
  completionCommand,
];

/** The whole command line of `kubectl lti`. Nothing runs before it is parsed. */
export function createProgram(terminal: Terminal): Command {
  const program = new Command('kubectl lti')
    .description('Shows and changes the LTI registrations of a cluster and their signing keys.')
    .version(version, '--version', 'Print the version.')
    .helpOption('-h, --help', 'Print this help.')
    .helpCommand(false);
  for (const create of subcommands) program.addCommand(create(terminal));
  const streams = {
    writeOut: (text: string) => terminal.out(text),
    getOutHelpWidth: () => terminal.columns,
    writeErr: (text: string) => terminal.err(text),
  };
  for (const command of [program, ...program.commands, ...leafCommands(program).map(({ command: leaf }) => leaf)]) {
    command
      .exitOverride()
      .configureOutput(streams)
      .showHelpAfterError('Run the command with --help for its options and examples.');
  }
  return program;
}

/** Runs one command line and returns its exit code. An error becomes one line on standard error, without a stack. */
export async function runCli(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const program = createProgram(terminal);
  if (args.length === 0) {
    terminal.out(program.helpInformation());
    return exitCodes.success;
  }
  try {
    await program.parseAsync(keyIDsLast(args), { from: 'user' });
    return exitCodes.success;
  } catch (error) {
    // commander has printed what is wrong, or what --help and --version asked for
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.success : exitCodes.usage;
    if (terminal.signal.aborted) return exitCodes.interrupted;
    terminal.err(`error: ${messageOf(error)}\n`);
    return error instanceof CliError ? error.exitCode : exitCodes.failure;
  }
}

/** Puts thumbprints (RFC 7638) that begin with a hyphen, as 1 in 64 does, behind `--`, because they are no options. */
function keyIDsLast(args: readonly string[]): string[] {
  const end = args.includes('--') ? args.indexOf('--') : args.length;
  const [before, after] = [args.slice(0, end), args.slice(end + 1)];
  // A namespace behind -n has no capitals and no underscores.
  const isKeyID = (arg: string): boolean => /^-(?=.*[A-Z_])[\w-]{42}$/.test(arg);
  const keyIDs = before.filter(isKeyID);
  return keyIDs.length === 0 ? [...args] : [...before.filter((arg) => !isKeyID(arg)), '--', ...keyIDs, ...after];
}

function messageOf(error: unknown): string {
  if (error instanceof ApiError && error.status === 401) {
    return `the API server does not accept the credentials of this kubeconfig (${error.message}): log in again, or choose another context`;
  }
  if (error instanceof ApiError && error.status === 403) return `${error.message}: ask an administrator for this right`;
  if (error instanceof TransportError) return `${error.message}: check the cluster with kubectl version`;
  return error instanceof Error ? error.message : 'unknown';
}
