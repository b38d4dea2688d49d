import { isRegistrationName } from '../api/names.ts';
import { CliError, exitCodes } from './exit-codes.ts';

/** Throws a CliError if the API server would refuse `text` as the name of a registration or namespace. `what` names the option. */
export function requireObjectName(what: string, text: string): void {
  if (isRegistrationName(text)) return;
  throw new CliError(
    `${what}: "${text}" is not a name of Kubernetes: use at most 63 lower-case letters, digits, - and ., with a letter or digit at each end`,
    exitCodes.usage,
  );
}
