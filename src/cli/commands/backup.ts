import type { Command } from 'commander';
import { canarySecretName, ltiRegistrations, operatorName, secrets } from '../../api/names.ts';
import type { LtiRegistration } from '../../api/objects.ts';
import type { KubeClient } from '../../kube/client.ts';
import { ifExists } from '../../kube/errors.ts';
import { objectKey, type Secret } from '../../kube/objects.ts';
import { checkCanaries, checkLedgers, kekDirectory, withoutForeignEntries } from '../backup-checks.ts';
import { type Backup, portable, registrationOfLedger, writeBackup } from '../backup-file.ts';
import type { Cluster, ClusterOptions } from '../cluster.ts';
import { describedCommand, onCluster, withClusterOptions } from '../command.ts';
import { CliError, exitCodes } from '../exit-codes.ts';
import { counted } from '../output.ts';
import { listLedgers } from '../sealed-keys.ts';
import type { Terminal } from '../terminal.ts';

interface BackupOptions extends ClusterOptions {
  readonly allNamespaces?: boolean;
  readonly operatorNamespace: string;
  readonly kekDir?: string;
}

export function backupCommand(terminal: Terminal): Command {
  const command = describedCommand({
    usage: 'backup <file>',
    summary: 'Write the ledgers, the registrations and the canaries of key-encryption keys into one file.',
    details:
      'The file is a List in JSON, readable for you alone. It holds private keys, sealed under key-encryption keys (KEKs) that are not in it: store those separately. Exits with code 3 if the backup was written and something is wrong with it. An existing file is never overwritten.',
    examples: [
      ['kubectl lti backup keys.json -A', 'Everything in the cluster'],
      ['kubectl lti backup keys.json -A --kek-dir ./kek', 'Check also that every key opens with your copy of the KEKs'],
    ],
  });
  return withClusterOptions(command)
    .option('-A, --all-namespaces', 'Back up all namespaces.')
    .option('--operator-namespace <namespace>', 'The namespace of the operator.', operatorName)
    .option('--kek-dir <directory>', 'Check that every key opens with the KEKs in this directory.')
    .action(
      onCluster<BackupOptions>(terminal, async (cluster, options, [file = '']) => {
        const { backup, problems } = await collect(cluster, options);
        const { canaries, ledgers, registrations } = backup;
        if (ledgers.length + registrations.length === 0) {
          throw new CliError('there is nothing to back up: choose the namespace with -n, or -A for all');
        }
        const keks = options.kekDir === undefined ? undefined : kekDirectory(options.kekDir, terminal.clock);
        problems.push(...(await checkLedgers(ledgers, keks)), ...(keks ? await checkCanaries(canaries, keks) : []));
        await writeBackup(file, backup);
        terminal.out(
          `${file}: ${counted(ledgers.length, 'ledger')}, ${counted(registrations.length, 'registration')}, ${canaries.length === 0 ? 'no canaries' : 'canaries'}\n`,
        );
        for (const problem of problems) terminal.err(`${problem}\n`);
        if (!keks) terminal.err('Whether the keys open was not checked: give your copy of the KEKs with --kek-dir.\n');
        if (problems.length > 0) {
          throw new CliError(
            `the backup was written, but has ${counted(problems.length, 'problem')}`,
            exitCodes.problemFound,
          );
        }
      }),
    );
}

async function collect(
  { client, namespace }: Cluster,
  options: BackupOptions,
): Promise<{ readonly backup: Backup; readonly problems: string[] }> {
  const place = options.allNamespaces ? undefined : namespace;
  // Registrations first: one that is created in between is missing with a ledger in the backup, and never there without its ledger.
  const { items: registrations } = await client.list<LtiRegistration>(ltiRegistrations, { namespace: place });
  const found = (await listLedgers(client, place)).map(withoutForeignEntries);
  const ledgers = found.map(({ secret }) => portable(secret));
  const known = new Set(ledgers.map((each) => `${each.metadata.namespace}/${registrationOfLedger(each)}`));
  const without = registrations.filter((each) => each.status?.activeKey && !known.has(objectKey(each)));
  return {
    backup: {
      canaries: await readCanaries(client, options.operatorNamespace),
      ledgers,
      registrations: registrations.map(portable),
    },
    problems: [
      ...found.flatMap(({ problems }) => problems),
      ...without.map((each) => `${objectKey(each)} has keys, but no ledger: see docs/recovery.md`),
    ],
  };
}

async function readCanaries(client: KubeClient, namespace: string): Promise<readonly Secret[]> {
  const canaries = await ifExists(client.get<Secret>(secrets, namespace, canarySecretName));
  return canaries ? [portable(canaries)] : [];
}
