/** The exit codes of `kubectl lti`. Scripts match on these: docs/kubectl-lti.md lists them. */
export const exitCodes = {
  /** The command succeeded. */
  success: 0,
  /** The command failed; the message says what was not done. */
  failure: 1,
  /** The command line is wrong; nothing was done. */
  usage: 2,
  /** A check found a problem (`verify`, `doctor`, `import`, `status --check`). */
  problemFound: 3,
  /** The state that the command waits for was not reached in time. The change itself was made. */
  timedOut: 4,
  /** The user interrupted the command. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Ends a command with a message for people, one sentence that says what was not done, why, and what to do. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = exitCodes.failure) {
    super(message);
    this.exitCode = exitCode;
  }
}
