import type { Command } from 'commander';
import { ltiRegistrations } from '../../api/names.ts';
import type { LtiRegistration } from '../../api/objects.ts';
import type { ConditionReason } from '../../api/reasons.ts';
import { type Cluster, type ClusterOptions, getRegistration } from '../cluster.ts';
import { describedCommand, onCluster, withClusterOptions, withOutput } from '../command.ts';
import { CliError, exitCodes } from '../exit-codes.ts';
import { formatAge, formatTable, formatValue, type OutputFormat, toned, type Tone } from '../output.ts';
import { type RegistrationSummary, summarize } from '../summary.ts';
import type { Terminal } from '../terminal.ts';
import { watchRegistrations } from '../watch.ts';

interface StatusOptions extends ClusterOptions {
  readonly allNamespaces?: boolean;
  readonly output: OutputFormat;
  readonly check?: boolean;
  readonly watch?: boolean;
}

export function statusCommand(terminal: Terminal): Command {
  const command = describedCommand({
    usage: 'status [name]',
    summary: 'Show registrations, their signing keys, what is in progress and what is wrong.',
    examples: [
      ['kubectl lti status -A', 'All registrations of the cluster'],
      ['kubectl lti status canvas -n gradebook', 'One registration'],
      ['kubectl lti status -A --check', 'Exit with code 3 if a registration has a problem'],
      ['kubectl lti status -A --watch', 'Show every change until the command is interrupted'],
    ],
  });
  return withOutput(withClusterOptions(command))
    .option('-A, --all-namespaces', 'Show the registrations of all namespaces.')
    .option('--check', 'Exit with code 3 if a registration has a problem.')
    .option('-w, --watch', 'After the present state, show every change until the command is interrupted.')
    .action(
      onCluster<StatusOptions>(terminal, async (cluster, options, [name]) => {
        if (name !== undefined && options.allNamespaces) {
          throw new CliError('a name and --all-namespaces exclude each other: give one of them', exitCodes.usage);
        }
        const namespace = options.allNamespaces ? undefined : cluster.namespace;
        if (options.watch) return follow(cluster, { namespace, name }, options, terminal);
        const objects =
          name === undefined
            ? (await cluster.client.list<LtiRegistration>(ltiRegistrations, { namespace })).items
            : [await getRegistration(cluster, name)];
        const summaries = objects.map(summarize);
        if (options.output === 'table' && summaries.length === 0) {
          terminal.err(
            `No registrations found${namespace === undefined ? '.' : ` in namespace ${namespace}. List all with: kubectl lti status -A`}\n`,
          );
        } else terminal.out(render(summaries, options.output, terminal));
        const troubled = summaries.filter(({ problems }) => problems.length > 0).length;
        if (options.check && troubled > 0) {
          throw new CliError(`${troubled} of ${summaries.length} registrations have a problem`, exitCodes.problemFound);
        }
      }),
    );
}

async function follow(
  { client }: Cluster,
  selection: { readonly namespace: string | undefined; readonly name: string | undefined },
  { output, check }: StatusOptions,
  terminal: Terminal,
): Promise<void> {
  if (output !== 'table' || check) {
    throw new CliError('--watch prints a table: leave out --output and --check', exitCodes.usage);
  }
  const table = new ChangeTable(terminal);
  const handler = {
    listed: (objects: readonly LtiRegistration[]) => table.print(objects.map(summarize)),
    changed: (object: LtiRegistration) => table.print([summarize(object)]),
    deleted: ({ metadata: { namespace = '', name } }: LtiRegistration) => table.printDeleted(`${namespace}/${name}`),
  };
  await watchRegistrations(client, selection, handler, terminal);
  throw new CliError('interrupted', exitCodes.interrupted);
}

/** Prints a table, then a row below it for each change that is visible in it. */
class ChangeTable {
  readonly #terminal: Terminal;
  /** `namespace/name` → the summary that was last printed. */
  readonly #printed = new Map<string, string>();
  #firstRows: readonly string[][] | undefined;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  print(summaries: readonly RegistrationSummary[]): void {
    const now = this.#terminal.clock.now().getTime();
    const changed = summaries.filter((summary) => this.#isChanged(summary));
    const rows = changed.map((summary) => row(summary, now, this.#terminal));
    if (this.#firstRows === undefined) {
      this.#firstRows = rows;
      this.#terminal.out(formatTable(headings, rows));
    } else {
      // Formatted below the first rows, so that the columns stay where they are.
      const lines = formatTable(headings, [...this.#firstRows, ...rows]).split('\n');
      this.#terminal.out(lines.slice(1 + this.#firstRows.length).join('\n'));
    }
    for (const trouble of changed.flatMap((summary) => troubles(summary, this.#terminal))) this.#terminal.out(trouble);
  }

  printDeleted(key: string): void {
    this.#printed.delete(key);
    this.#terminal.out(`${key} was deleted\n`);
  }

  #isChanged(summary: RegistrationSummary): boolean {
    const key = `${summary.namespace}/${summary.name}`;
    const text = JSON.stringify(summary);
    if (this.#printed.get(key) === text) return false;
    this.#printed.set(key, text);
    return true;
  }
}

const headings = ['NAMESPACE', 'NAME', 'STATUS', 'KEY', 'AGE', 'NEXT ROTATION', 'IN PROGRESS'];

function render(summaries: readonly RegistrationSummary[], output: OutputFormat, terminal: Terminal): string {
  if (output === 'json' || output === 'yaml') return formatValue(output, { items: summaries });
  if (output === 'name') return summaries.map(({ name }) => `ltiregistration.ltikeys.dev/${name}\n`).join('');
  const now = terminal.clock.now().getTime();
  const rows = summaries.map((summary) => row(summary, now, terminal));
  const table = formatTable(headings, rows);
  return [table, ...summaries.flatMap((summary) => troubles(summary, terminal))].join('\n');
}

const tones: Readonly<Record<string, Tone>> = { Ready: 'good', Stalled: 'bad', ActionRequired: 'bad' };

function row(summary: RegistrationSummary, now: number, terminal: Terminal): string[] {
  const { namespace, name, phase, activeKey, nextRotationTime } = summary;
  const since = activeKey?.activatedAt;
  return [
    namespace,
    name,
    toned(terminal, tones[phase] ?? 'warning', phase),
    activeKey?.name ?? '-',
    since === undefined ? '-' : formatAge(now - Date.parse(since)),
    nextRotationTime === undefined ? '-' : untilText(nextRotationTime, now),
    inProgress(summary, now),
  ];
}

function untilText(time: string, now: number): string {
  const left = Date.parse(time) - now;
  return left > 0 ? `in ${formatAge(left)} (${time})` : `overdue by ${formatAge(left)}`;
}

const awaited: Readonly<Record<string, string>> = {
  AcknowledgementRequired: 'waits for its acknowledgement',
  FetchRequired: 'waits for a fetch',
} satisfies Partial<Record<ConditionReason, string>>;

function inProgress({ nextKey, problems }: RegistrationSummary, now: number): string {
  if (!nextKey) return '-';
  const { name, activateAfter } = nextKey;
  if (activateAfter === undefined) return `${name} is being published`;
  const left = Date.parse(activateAfter) - now;
  if (left > 0) return `${name} signs in ${formatAge(left)}`;
  const waits = problems.map(({ reason }) => awaited[reason]).find((text) => text !== undefined);
  return `${name} ${waits ?? 'is about to sign'}`;
}

function troubles({ namespace, name, problems }: RegistrationSummary, terminal: Terminal): string[] {
  return problems.map(({ condition, reason, message, remedy }) => {
    const head = toned(terminal, 'bad', `${namespace}/${name}: ${condition}: ${reason}`);
    return `${head}\n  ${message}\n${remedy === '' ? '' : `  Remedy: ${remedy}\n`}`;
  });
}
