import { Command } from 'commander';
import { canarySecretName, ltiRegistrations, operatorName, secrets } from '../../api/names.ts';
import type { LtiRegistration } from '../../api/objects.ts';
import { kekReasons, sealReasons } from '../../api/reasons.ts';
import type { KubeClient } from '../../kube/client.ts';
import { ifExists, isRefusal } from '../../kube/errors.ts';
import type { Secret } from '../../kube/objects.ts';
import type { Cluster, ClusterOptions } from '../cluster.ts';
import { describedCommand, onCluster, withClusterOptions, withOutput } from '../command.ts';
import { CliError, exitCodes } from '../exit-codes.ts';
import { counted, formatTable, formatValue, type OutputFormat, toned } from '../output.ts';
import { countSealedKeys, type SealedKeys } from '../sealed-keys.ts';
import { type Problem, summarize } from '../summary.ts';
import type { Terminal } from '../terminal.ts';

interface KekOptions extends ClusterOptions {
  readonly allNamespaces?: boolean;
  readonly operatorNamespace: string;
  readonly output: OutputFormat;
  readonly check?: boolean;
}

interface KekReport {
  readonly source: SealedKeys['source'];
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly keks: readonly {
    readonly kekID: string;
    readonly sealedKeys: number;
    readonly canary: 'present' | 'missing' | 'unknown';
  }[];
  readonly unreadable: readonly string[];
  /** What registrations report about key-encryption keys and sealed keys; a cause that several of them report appears once. */
  readonly problems: readonly (Pick<Problem, 'reason' | 'message' | 'remedy'> & { readonly registrations: number })[];
}

export function kekCommand(terminal: Terminal): Command {
  return new Command('kek')
    .summary('Show the key-encryption keys (KEKs).')
    .description('Show the key-encryption keys (KEKs).')
    .helpOption('-h, --help', 'Print this help.')
    .helpCommand(false)
    .addCommand(kekStatusCommand(terminal));
}

function kekStatusCommand(terminal: Terminal): Command {
  const command = describedCommand({
    usage: 'status',
    summary: 'Show how many private keys each key-encryption key (KEK) seals, and what is wrong.',
    details:
      'It counts in the ledger Secrets if you may list Secrets. Otherwise it counts LtiKeys, and says so: do not remove a KEK because of that count, because a key may be sealed before its LtiKey exists. A KEK that seals nothing here may still seal your backups.',
    examples: [
      ['kubectl lti kek status -A', 'All key-encryption keys of the cluster'],
      ['kubectl lti kek status -A --check', 'Exit with code 3 if a registration reports a problem with its keys'],
    ],
  });
  return withOutput(withClusterOptions(command), ['table', 'json', 'yaml'])
    .option('-A, --all-namespaces', 'Count the keys of all namespaces.')
    .option('--operator-namespace <namespace>', 'The namespace of the operator.', operatorName)
    .option('--check', 'Exit with code 3 if there is a problem.')
    .action(
      onCluster<KekOptions>(terminal, async (cluster, options) => {
        const report = await readReport(cluster, options);
        terminal.out(render(report, options.output, terminal));
        const count = report.problems.length + report.unreadable.length;
        if (options.check && count > 0) throw new CliError(counted(count, 'problem'), exitCodes.problemFound);
      }),
    );
}

async function readReport({ client, namespace }: Cluster, options: KekOptions): Promise<KekReport> {
  const place = options.allNamespaces ? undefined : namespace;
  const { source, counts, unreadable } = await countSealedKeys(client, place);
  const canaries = await readCanaryIDs(client, options.operatorNamespace);
  const registrations = await client.list<LtiRegistration>(ltiRegistrations, { namespace: place });
  const kekIDs = [...new Set([...counts.keys(), ...(canaries ?? [])])].toSorted();
  return {
    source,
    ...(place === undefined ? {} : { namespace: place }),
    keks: kekIDs.map((kekID) => ({
      kekID,
      sealedKeys: counts.get(kekID) ?? 0,
      canary: canaries === undefined ? 'unknown' : canaries.has(kekID) ? 'present' : 'missing',
    })),
    unreadable,
    problems: problemsOf(registrations.items),
  };
}

/** The KEK IDs with a canary; undefined if the user may not read their Secret. */
async function readCanaryIDs(client: KubeClient, namespace: string): Promise<ReadonlySet<string> | undefined> {
  try {
    const canaries = await ifExists(client.get<Secret>(secrets, namespace, canarySecretName));
    return new Set(Object.keys(canaries?.data ?? {}));
  } catch (error) {
    if (isRefusal(error)) return undefined;
    throw error;
  }
}

const keyReasons: ReadonlySet<string> = new Set([...Object.keys(kekReasons), ...Object.keys(sealReasons)]);

function problemsOf(registrations: readonly LtiRegistration[]): KekReport['problems'] {
  const problems = registrations.flatMap((each) =>
    summarize(each).problems.filter(({ reason }) => keyReasons.has(reason)),
  );
  // Messages about a sealed key name the key, so that each reason stands for its first message.
  return [...Map.groupBy(problems, ({ reason }) => reason).values()].map((same) => {
    const { reason, message, remedy } = same[0]!;
    return { reason, message, remedy, registrations: same.length };
  });
}

function render(report: KekReport, output: OutputFormat, terminal: Terminal): string {
  if (output === 'json' || output === 'yaml') return formatValue(output, report);
  const { source, namespace, keks, unreadable, problems } = report;
  const where = namespace === undefined ? 'all namespaces' : `namespace ${namespace}`;
  const rows = keks.map(({ kekID, sealedKeys, canary }) => [
    kekID,
    String(sealedKeys),
    toned(terminal, canary === 'missing' ? 'warning' : 'quiet', canary),
  ]);
  const origin =
    source === 'ledgers'
      ? `Counted in the ledgers of ${where}.\n`
      : `Counted in the LtiKeys of ${where}, because you may not list Secrets: there may be more sealed keys.\n`;
  return [
    keks.length === 0
      ? 'No key is sealed, and there is no canary.\n'
      : formatTable(['KEK', 'SEALED KEYS', 'CANARY'], rows),
    origin,
    ...unreadable.map((place) => `${toned(terminal, 'bad', place)}: the header of the sealed key cannot be read.\n`),
    ...problems.map(
      ({ reason, message, remedy, registrations }) =>
        `${toned(terminal, 'bad', reason)} (${registrations} registrations)\n  ${message}\n  Remedy: ${remedy}\n`,
    ),
  ].join('\n');
}
