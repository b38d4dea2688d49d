import { CliError, exitCodes } from './exit-codes.ts';

/** Throws a CliError if the API server would refuse `text` as the name of a registration or namespace. `what` names the option. */
export function requireObjectName(what: string, text: string): void {
  if (/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(text) && text.length <= 63) return;
  throw new CliError(
    `${what}: "${text}" is not a name of Kubernetes: use lower-case letters, digits, - and ., at most 63 characters`,
    exitCodes.usage,
  );
}
