import type { Command } from 'commander';
import { stringify } from 'yaml';
import { apiVersion } from '../../api/names.ts';
import { describedCommand } from '../command.ts';
import { AnswerFile, answerOf } from '../dynamic-registration.ts';
import { CliError, exitCodes } from '../exit-codes.ts';
import { readInputFile } from '../input-file.ts';
import { requireObjectName } from '../object-name.ts';
import type { Terminal } from '../terminal.ts';

interface ImportRegistrationOptions {
  readonly filename: string;
  readonly openidConfiguration?: string;
  readonly namespace: string;
  readonly patch?: boolean;
}

export function importRegistrationCommand(terminal: Terminal): Command {
  const command = describedCommand({
    usage: 'import-registration <name>',
    summary: 'Turn the answer of a platform to LTI Dynamic Registration into an LtiRegistration.',
    details:
      'It reads the registration response and the OpenID configuration of the platform, and prints a manifest, or with --patch a merge patch for a registration that exists. It works offline and changes nothing. It does not register the tool at the platform, which is interactive and belongs to the tool.',
    examples: [
      [
        'kubectl lti import-registration moodle -n gradebook -f response.json --openid-configuration openid-configuration.json',
        'Print a manifest',
      ],
      [
        'kubectl lti import-registration moodle -n gradebook -f response.json --patch > patch.yaml',
        'Print a patch for a registration that exists; apply it with kubectl patch --type merge --patch-file',
      ],
    ],
  });
  return command
    .requiredOption('-f, --filename <file>', 'The registration response, in JSON; - reads standard input.')
    .option('--openid-configuration <file>', 'The OpenID configuration of the platform, in JSON.')
    .option('-n, --namespace <namespace>', 'The namespace of the registration.', 'default')
    .option('--patch', 'Print a merge patch instead of a manifest.')
    .action((name: string, options: ImportRegistrationOptions) => importRegistration(name, options, terminal));
}

async function importRegistration(
  name: string,
  { filename, openidConfiguration, namespace, patch }: ImportRegistrationOptions,
  terminal: Terminal,
): Promise<void> {
  requireObjectName('the name', name);
  requireObjectName('--namespace', namespace);
  if (!patch && openidConfiguration === undefined) {
    const message =
      'a manifest needs the issuer: give the OpenID configuration of the platform with --openid-configuration, or use --patch';
    throw new CliError(message, exitCodes.usage);
  }
  const response = await read(filename, terminal);
  const configuration = openidConfiguration === undefined ? undefined : await read(openidConfiguration, terminal);
  const { spec, notes } = answerOf(response, configuration, { namespace, name });
  const delivery = { secretName: `${name}-signing-key` };
  const manifest = { apiVersion, kind: 'LtiRegistration', metadata: { name, namespace }, spec: { ...spec, delivery } };
  terminal.out(stringify(patch ? { spec } : manifest));
  for (const note of notes) terminal.err(`Note: ${note}.\n`);
  if (patch && spec.deploymentIDs) terminal.err('Note: the patch replaces the list spec.deploymentIDs.\n');
}

async function read(file: string, terminal: Terminal): Promise<AnswerFile> {
  return new AnswerFile(file, await readInputFile(file, 'nothing was imported', terminal));
}
