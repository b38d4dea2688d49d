import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { importGrantAnnotation, registrationPath } from '../../api/names.ts';
import { ImportKeyError } from '../../crypto/errors.ts';
import { importPrivateKey } from '../../crypto/import-key.ts';
import { rsaThumbprint } from '../../lib/thumbprint.ts';
import { describedCommand, withOutput } from '../command.ts';
import { CliError, exitCodes } from '../exit-codes.ts';
import { readInputFile, unreadable } from '../input-file.ts';
import { requireObjectName } from '../object-name.ts';
import { formatValue, type OutputFormat } from '../output.ts';
import type { Terminal } from '../terminal.ts';

interface ImportOptions {
  readonly output: OutputFormat;
  readonly namespace: string;
  readonly registration: string;
  readonly keyId?: string;
}

/** Public facts about the key in the file. */
interface ImportReport {
  readonly file: string;
  readonly algorithm: string;
  readonly size: number;
  readonly thumbprint: string;
  /** What tokens will carry as `kid`. */
  readonly keyID: string;
  readonly warnings: readonly string[];
  readonly commands: readonly string[];
  /** Part of the manifest of the registration. */
  readonly spec: { readonly import: { readonly secretName: string; readonly keyID?: string } };
}

/** A private key has a few kB, so that a larger file is the wrong one. */
const longestFile = 1_048_576;

export function importCommand(terminal: Terminal): Command {
  const command = describedCommand({
    usage: 'import <file>',
    summary: 'Check a private key of a former system, and show how to hand it to the operator.',
    details:
      'It checks the file as the operator does, offline: it needs no cluster, changes nothing and prints no private part. It prints the commands and the part of the manifest that import the key. Exits with code 3 if the operator would refuse the key.',
    examples: [
      ['kubectl lti import private.pem --registration canvas -n gradebook', 'Check a PEM file'],
      [
        'kubectl lti import private.pem --registration canvas -n gradebook --key-id tool-2019',
        'Keep the key ID that the tool sends now',
      ],
    ],
  });
  return withOutput(command, ['table', 'json', 'yaml'])
    .requiredOption('--registration <name>', 'The name of the future registration.')
    .option('-n, --namespace <namespace>', 'The namespace of the future registration.', 'default')
    .option('--key-id <id>', 'The key ID that the tool sends, if it is not the thumbprint of the key.')
    .action(async (file: string, options: ImportOptions) => {
      requireObjectName('--registration', options.registration);
      requireObjectName('--namespace', options.namespace);
      const report = inspect(file, await read(file, terminal), options);
      terminal.out(render(report, options));
    });
}

async function read(file: string, terminal: Terminal): Promise<string> {
  const hint = 'give the path of a private key, or - for standard input';
  const { size } = file === '-' ? { size: 0 } : await stat(file).catch(unreadable(file, hint));
  if (size > longestFile) throw new CliError(`${file} has ${size} bytes: it is not the file of one private key`);
  return readInputFile(file, hint, terminal);
}

function inspect(file: string, text: string, { namespace, registration, keyId }: ImportOptions): ImportReport {
  let key: ReturnType<typeof importPrivateKey>;
  try {
    key = importPrivateKey(text, keyId);
  } catch (error) {
    if (!(error instanceof ImportKeyError)) throw error;
    // The operator's messages name the field of the manifest, which is an option here.
    const message = error.message.replaceAll('spec.import.keyID', '--key-id');
    throw new CliError(`${file} cannot be imported: ${message}`, exitCodes.problemFound);
  }
  const { algorithm, size, keyID, publicJWK } = key;
  const thumbprint = rsaThumbprint(publicJWK);
  const secretName = `${registration}-old-key`;
  return {
    file,
    algorithm,
    size,
    thumbprint,
    keyID,
    warnings: keyID === thumbprint ? [] : foreignKeyID(keyID),
    commands: [
      `kubectl create secret generic ${secretName} --namespace ${namespace} --from-file=private.pem=${quoted(file)}`,
      `kubectl annotate secret ${secretName} --namespace ${namespace} ${importGrantAnnotation}=${registration}`,
    ],
    spec: { import: { secretName, ...(keyID === thumbprint ? {} : { keyID }) } },
  };
}

function foreignKeyID(keyID: string): readonly string[] {
  return [
    `the key ID ${keyID} is not the thumbprint of the key. The tool must send it in every header: a library that computes the key ID, such as PyLTI1p3 as it ships, sends the thumbprint, and platforms refuse its tokens`,
    'the document of all namespaces does not serve a key with such an ID; the documents of the registration and of its namespace do',
  ];
}

/** For a POSIX shell. */
function quoted(text: string): string {
  return /^[\w./@%+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function render(report: ImportReport, { output, namespace, registration }: ImportOptions): string {
  if (output === 'json' || output === 'yaml') return formatValue(output, report);
  const { file, algorithm, size, thumbprint, keyID, warnings, commands, spec } = report;
  return `${file} can be imported.

Key:         RSA with ${size} bits, for ${algorithm}
Thumbprint:  ${thumbprint}
Key ID:      ${keyID}${keyID === thumbprint ? ' (the thumbprint)' : ''}
${warnings.map((warning) => `\nWarning: ${warning}.\n`).join('')}
1. Store the key in the cluster, and grant its import:

${commands.map((command) => `   ${command}\n`).join('')}
2. Apply LtiRegistration ${namespace}/${registration} with:

${stringify({ spec }).replaceAll(/^(?=.)/gm, '   ')}
The operator then seals the key as ${registration}-1, publishes it at ${registrationPath(namespace, registration)},
and signs with it once every replica serves it. Later rotations replace it; their keys have thumbprints as key IDs.

3. Delete Secret ${namespace}/${spec.import.secretName} once the registration is Ready, and your other copies of the private key.

docs/guides/move-a-tool.md has the whole procedure.
`;
}
