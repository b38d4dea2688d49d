import type { Command } from 'commander';
import { changeRegistration, type ClusterOptions } from '../cluster.ts';
import { describedCommand, onCluster, withClusterOptions } from '../command.ts';
import { CliError } from '../exit-codes.ts';
import type { Terminal } from '../terminal.ts';

export function acknowledgeCommand(terminal: Terminal): Command {
  const command = describedCommand({
    usage: 'acknowledge <name> [keyID]',
    summary: 'Record that a key has been pasted at the platform, so that it may sign.',
    details:
      'For registrations with keyDistribution Manual. Without a key ID, the key that waits is acknowledged. This changes spec.acknowledgedKeyID: if the registration comes from Git, change it there.',
    examples: [
      ['kubectl lti public-key canvas -n gradebook --next', 'Print the key to paste at the platform'],
      ['kubectl lti acknowledge canvas -n gradebook', 'Acknowledge it'],
    ],
  });
  return withClusterOptions(command).action(
    onCluster<ClusterOptions>(terminal, async (cluster, _options, [name, given]) => {
      let keyID = '';
      const { metadata } = await changeRegistration(cluster, name!, (registration) => {
        const { spec, status } = registration;
        if (spec.keyDistribution !== 'Manual') {
          throw new CliError(
            `${name} has keyDistribution ${spec.keyDistribution}: its keys need no acknowledgement, nothing was changed`,
          );
        }
        const waiting = status?.nextKey?.keyID ?? status?.activeKey?.keyID;
        if (waiting === undefined)
          throw new CliError(`${name} has no key yet: wait until kubectl lti status shows one`);
        if (given !== undefined && given !== status?.nextKey?.keyID && given !== status?.activeKey?.keyID) {
          throw new CliError(
            `${given} is neither the next nor the signing key of ${name}: the key that waits is ${waiting}`,
          );
        }
        keyID = given ?? waiting;
        if (spec.acknowledgedKeyID === keyID) return undefined;
        return { ...registration, spec: { ...spec, acknowledgedKeyID: keyID } };
      });
      terminal.out(`ltiregistration.ltikeys.dev/${metadata.name}: key ${keyID} acknowledged\n`);
    }),
  );
}
