import { Command, Option } from 'commander';
import { type Cluster, type ClusterOptions, withCluster } from './cluster.ts';
import { type OutputFormat, outputFormats } from './output.ts';
import type { Terminal } from './terminal.ts';

interface Description {
  /** Name and arguments, as `rotate <name>`. */
  readonly usage: string;
  /** One sentence. */
  readonly summary: string;
  /** More about it, after the summary. */
  readonly details?: string;
  /** Command lines and what each does. */
  readonly examples: readonly (readonly [commandLine: string, what: string])[];
}

/** A subcommand with its help and examples. */
export function describedCommand({ usage, summary, details, examples }: Description): Command {
  const shown = examples.map(([line, what]) => `  # ${what}\n  ${line}`).join('\n\n');
  const [name, ...args] = usage.split(' ');
  const command = new Command(name);
  for (const arg of args) command.argument(arg);
  return command
    .summary(summary)
    .description(details === undefined ? summary : `${summary}\n\n${details}`)
    .helpOption('-h, --help', 'Print this help.')
    .addHelpText('after', `\nExamples:\n${shown}`);
}

/** Adds kubectl's own options. */
export function withClusterOptions(command: Command): Command {
  return command
    .option('-n, --namespace <namespace>', 'The namespace; without it, that of the kubeconfig context.')
    .option('--context <context>', 'The kubeconfig context.')
    .option('--kubeconfig <file>', 'The kubeconfig file; without it, KUBECONFIG or ~/.kube/config.')
    .option('--as <user>', 'The user to impersonate.');
}

/** Adds `-o`. */
export function withOutput(command: Command, formats: readonly OutputFormat[] = outputFormats): Command {
  return command.addOption(
    new Option('-o, --output <format>', 'The output format.').choices([...formats]).default('table'),
  );
}

/** The action of a command that works on a cluster. */
export function onCluster<Options extends ClusterOptions>(
  terminal: Terminal,
  work: ClusterWork<Options>,
  requirements: { readonly anyVersion?: boolean } = {},
): (this: Command) => Promise<void> {
  return async function action() {
    const options = this.opts<Options>();
    await withCluster(options, terminal, (cluster) => work(cluster, options, this.args), requirements);
  };
}

type ClusterWork<Options> = (cluster: Cluster, options: Options, args: readonly string[]) => Promise<void>;
