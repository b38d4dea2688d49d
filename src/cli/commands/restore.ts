import type { Command } from 'commander';
import { ltiRegistrations, operatorName } from '../../api/names.ts';
import type { KubeClient } from '../../kube/client.ts';
import { type KubeObject, objectKey, type ResourceType } from '../../kube/objects.ts';
import { checkCanaries, checkLedgers, kekDirectory } from '../backup-checks.ts';
import { type Backup, lastApplied, readBackup } from '../backup-file.ts';
import type { Cluster, ClusterOptions } from '../cluster.ts';
import { describedCommand, onCluster, withClusterOptions } from '../command.ts';
import { CliError, exitCodes } from '../exit-codes.ts';
import { counted } from '../output.ts';
import { planRestore, registrationsWithoutLedger, type RestorePlan, runningOperator } from '../restore-plan.ts';
import type { Terminal } from '../terminal.ts';

interface RestoreOptions extends ClusterOptions {
  readonly operatorNamespace: string;
  readonly kekDir?: string;
  readonly besideOperator?: boolean;
  readonly yes?: boolean;
}

export function restoreCommand(terminal: Terminal): Command {
  const command = describedCommand({
    usage: 'restore <file>',
    summary: 'Create what a backup holds and the cluster lacks: canaries, ledgers and registrations, in this order.',
    details:
      'It checks everything before it creates anything: the file, the namespaces, that no ledger exists with other content, and that the operator does not run. It never overwrites an object. What exists with the same content is skipped, so that the command can be repeated after a failure. The namespaces are those in the file.',
    examples: [
      ['kubectl lti restore keys.json --kek-dir ./kek', 'Restore, and check first that every key opens'],
      [
        'kubectl lti restore keys.json --beside-operator',
        'Restore while the operator serves other registrations of the cluster',
      ],
    ],
  });
  return withClusterOptions(command)
    .option('--operator-namespace <namespace>', 'The namespace of the operator.', operatorName)
    .option('--kek-dir <directory>', 'Check that every key opens with the KEKs in this directory.')
    .option('--beside-operator', 'Restore although the operator runs.')
    .option('--yes', 'Do not ask for confirmation.')
    .action(
      onCluster<RestoreOptions>(terminal, async (cluster, options, [file = '']) => {
        const backup = await readBackup(file);
        await refuseProblems(file, backup, options, terminal);
        const plan = await planRestore(cluster.client, backup);
        await refuseObstacles(cluster, plan, options, terminal);
        for (const each of plan.left) terminal.err(`Not restored: ${each}.\n`);
        if (plan.creations.length === 0) {
          terminal.out(`Nothing to create: ${plan.identical} objects exist with the same content.\n`);
          return;
        }
        await confirmed(plan, options, terminal);
        await createAll(cluster.client, plan, terminal);
      }),
    );
}

async function refuseProblems(
  file: string,
  { ledgers, canaries }: Backup,
  { kekDir }: RestoreOptions,
  terminal: Terminal,
): Promise<void> {
  const keks = kekDir === undefined ? undefined : kekDirectory(kekDir, terminal.clock);
  const problems = [...(await checkLedgers(ledgers, keks)), ...(keks ? await checkCanaries(canaries, keks) : [])];
  if (problems.length === 0) return;
  for (const problem of problems) terminal.err(`${problem}\n`);
  throw new CliError(
    `nothing was restored: ${file} has ${counted(problems.length, 'problem')}${keks ? '; without --kek-dir, it is not checked that keys open' : ''}`,
    exitCodes.problemFound,
  );
}

async function refuseObstacles(
  { client }: Cluster,
  plan: RestorePlan,
  { operatorNamespace, besideOperator }: RestoreOptions,
  { clock, err }: Terminal,
): Promise<void> {
  const obstacles = [...plan.obstacles];
  const running = await runningOperator(client, operatorNamespace, clock);
  if (running !== undefined && !besideOperator) {
    obstacles.push(`${running}; or restore beside it with --beside-operator`);
  } else if (running !== undefined) {
    for (const registration of await registrationsWithoutLedger(client, plan)) {
      obstacles.push(
        `LtiRegistration ${registration} exists without its ledger, so the operator may make a new key: ${running}`,
      );
    }
  }
  if (obstacles.length === 0) return;
  for (const obstacle of obstacles) err(`${obstacle}\n`);
  throw new CliError(`nothing was restored: ${counted(obstacles.length, 'obstacle')}`);
}

async function confirmed({ creations }: RestorePlan, { yes }: RestoreOptions, terminal: Terminal): Promise<void> {
  if (yes) return;
  const registrations = creations.filter(({ type }) => type === ltiRegistrations).length;
  const answer = await terminal.confirm(
    `Create ${counted(creations.length - registrations, 'Secret')} and ${counted(registrations, 'LtiRegistration')}?`,
  );
  if (answer) return;
  throw new CliError(
    answer === undefined ? 'nothing was restored: confirm with --yes' : 'nothing was restored',
    answer === undefined ? exitCodes.usage : exitCodes.failure,
  );
}

async function createAll(
  client: KubeClient,
  { creations, identical }: RestorePlan,
  { out, err, signal }: Terminal,
): Promise<void> {
  for (const [index, { type, object }] of creations.entries()) {
    try {
      signal.throwIfAborted();
      await client.create(type, withLastApplied(type, object));
    } catch (error) {
      const rest = creations.slice(index).map(({ type: { kind }, object: each }) => `  ${kind} ${objectKey(each)}\n`);
      err(`Not restored:\n${rest.join('')}The objects before them were created: repeat the command for the rest.\n`);
      throw error;
    }
    out(`${type.kind} ${objectKey(object)} created\n`);
  }
  out(`${counted(creations.length, 'object')} created, ${identical} existed with the same content.\n`);
}

/**
 * As `kubectl create --save-config` writes it, so that `kubectl apply` removes fields that a later manifest does not have. Never
 * for a Secret: its data would be copied into an annotation.
 */
function withLastApplied(type: ResourceType, object: KubeObject): KubeObject {
  if (type !== ltiRegistrations) return object;
  const { metadata } = object;
  const annotations = { ...metadata.annotations, [lastApplied]: `${JSON.stringify(object)}\n` };
  return { ...object, metadata: { ...metadata, annotations } };
}
