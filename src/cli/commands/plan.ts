import type { Command } from 'commander';
import { parseAllDocuments } from 'yaml';
import { apiVersion } from '../../api/names.ts';
import type { LtiRegistration } from '../../api/objects.ts';
import { formatInstant } from '../../domain/duration.ts';
import { emptyLedger } from '../../domain/ledger.ts';
import { readRegistration, type Registration } from '../../domain/registration.ts';
import { isJsonObject } from '../../lib/json-object.ts';
import {
  type Cluster,
  type ClusterOptions,
  findRegistration,
  getRegistration,
  durationOption,
  keysOf,
} from '../cluster.ts';
import { describedCommand, onCluster, withClusterOptions, withOutput } from '../command.ts';
import { CliError, exitCodes } from '../exit-codes.ts';
import { readInputFile } from '../input-file.ts';
import { formatAge, formatTable, formatValue, type OutputFormat } from '../output.ts';
import { planLimits } from '../plan-limits.ts';
import type { Terminal } from '../terminal.ts';
import { shownLedger, timeline, type TimelineEntry } from '../timeline.ts';

interface PlanOptions extends ClusterOptions {
  readonly output: OutputFormat;
  readonly filename?: string;
  readonly for: string;
}

export function planCommand(terminal: Terminal): Command {
  const command = describedCommand({
    usage: 'plan [name]',
    summary: 'Show what the operator will do with the keys of a registration, and when.',
    details:
      'The times follow from the same rules that the operator applies. They assume that every replica serves a new key at once. Whether rotations start is what the status of the registration says; for a spec that the operator has not seen yet, they assume its default limits. With --filename, the command shows what would happen if you applied a manifest; it applies nothing, and does not check whether the API server accepts the manifest, as kubectl apply --dry-run=server does.',
    examples: [
      ['kubectl lti plan canvas -n gradebook', 'The next 180 days of a registration'],
      ['kubectl lti plan -f canvas.yaml --for 365d', 'A year of a manifest that is not applied yet'],
    ],
  });
  return withOutput(withClusterOptions(command), ['table', 'json', 'yaml'])
    .option('-f, --filename <file>', 'A manifest with the registration; - reads standard input.')
    .option('--for <duration>', 'How far to look ahead, such as 30d.', '180d')
    .action(
      onCluster<PlanOptions>(terminal, async (cluster, options, [name]) => {
        const ahead = durationOption('--for', options.for);
        const { present, wanted } = await registrations(cluster, options, name, terminal);
        const registration = read(wanted);
        const now = terminal.clock.now().getTime();
        const applied = present && read(present);
        const start = applied
          ? shownLedger(
              applied,
              present,
              await keysOf({ ...cluster, namespace: registration.namespace }, registration.name),
            )
          : emptyLedger(registration.namespace, registration.name);
        const { limits, note } = planLimits(registration, applied, present);
        const entries = timeline({ registration, ledger: start, now, limits }, now + ahead);
        terminal.out(render(entries, options.output, now));
        for (const text of notes(registration, note)) terminal.err(`${text}\n`);
      }),
    );
}

interface Registrations {
  /** As it is in the cluster. */
  readonly present?: LtiRegistration;
  /** What the plan is for. */
  readonly wanted: LtiRegistration;
}

async function registrations(
  cluster: Cluster,
  { filename, namespace }: PlanOptions,
  name: string | undefined,
  terminal: Terminal,
): Promise<Registrations> {
  if (filename === undefined) {
    if (name === undefined)
      throw new CliError('give the name of a registration, or a manifest with -f', exitCodes.usage);
    const present = await getRegistration(cluster, name);
    return { present, wanted: present };
  }
  const text = await readInputFile(filename, 'give the path of a manifest, or - for standard input', terminal);
  const manifest = registrationIn(text, filename, name);
  const place = manifest.metadata.namespace ?? cluster.namespace;
  if (namespace !== undefined && namespace !== place) {
    throw new CliError(
      `${filename} is for namespace ${place}, and -n names ${namespace}: remove one of them`,
      exitCodes.usage,
    );
  }
  const wanted = { ...manifest, metadata: { ...manifest.metadata, namespace: place } };
  const present = await findRegistration({ ...cluster, namespace: place }, wanted.metadata.name);
  return { ...(present ? { present } : {}), wanted };
}

/** The one registration of a manifest, or the one of that name. */
function registrationIn(text: string, file: string, name: string | undefined): LtiRegistration {
  const documents = parseAllDocuments(text);
  const faulty = documents.flatMap((document) => ('errors' in document ? document.errors : []))[0];
  if (faulty) throw new CliError(`${file} is not YAML: ${faulty.message.split('\n')[0]!.replace(/:$/, '')}`);
  const found = documents
    .map((document): unknown => ('toJS' in document ? document.toJS() : undefined))
    .filter((value): value is LtiRegistration => isRegistration(value))
    .filter(({ metadata }) => name === undefined || metadata.name === name);
  const [registration] = found;
  if (registration && found.length === 1) return registration;
  throw new CliError(
    found.length === 0
      ? `${file} has no LtiRegistration${name === undefined ? '' : ` ${name}`} of ${apiVersion}: give a manifest with one`
      : `${file} has ${found.length} LtiRegistrations: give the name of one`,
  );
}

function isRegistration(value: unknown): value is LtiRegistration {
  return (
    isJsonObject(value) &&
    value['kind'] === 'LtiRegistration' &&
    value['apiVersion'] === apiVersion &&
    isJsonObject(value['metadata']) &&
    typeof value['metadata']['name'] === 'string' &&
    isJsonObject(value['spec'])
  );
}

function read(object: LtiRegistration): Registration {
  try {
    return readRegistration(object);
  } catch (error) {
    throw new CliError(
      `the spec of ${object.metadata.name} cannot be used: ${error instanceof Error ? error.message : 'unknown'}`,
    );
  }
}

function render(entries: readonly TimelineEntry[], output: OutputFormat, now: number): string {
  if (output === 'json' || output === 'yaml') {
    return formatValue(output, { items: entries.map(({ at, ...entry }) => ({ at: formatInstant(at), ...entry })) });
  }
  if (entries.length === 0) return 'Nothing happens in this time.\n';
  const rows = entries.map(({ at, key, what }) => [
    formatInstant(at),
    at - now < 1000 ? 'now' : `in ${formatAge(at - now)}`,
    key ?? '-',
    what,
  ]);
  return formatTable(['TIME', 'FROM NOW', 'KEY', 'WHAT HAPPENS'], rows);
}

/** What keeps rotations from happening. */
function notes({ suspend, keyDistribution, activation }: Registration, timing: string | undefined): string[] {
  return [
    ...(suspend ? ['spec.suspend is true: no rotation starts, and no key retires.'] : []),
    ...(timing === undefined ? [] : [timing]),
    ...(keyDistribution === 'Manual'
      ? [
          'Keys are pasted at the platform: each next key waits until kubectl lti acknowledge says that the platform has it.',
        ]
      : []),
    ...(activation === 'AfterFetch'
      ? [
          'spec.activation is AfterFetch: each next key also waits until a client has fetched it. The times assume that this happens at once.',
        ]
      : []),
  ];
}
