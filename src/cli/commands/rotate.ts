import type { Command } from 'commander';
import { rotateRequestedAtAnnotation } from '../../api/names.ts';
import { formatInstant } from '../../domain/duration.ts';
import { changeRegistration, type ClusterOptions } from '../cluster.ts';
import { describedCommand, onCluster, withClusterOptions } from '../command.ts';
import type { Terminal } from '../terminal.ts';

export function rotateCommand(terminal: Terminal): Command {
  const command = describedCommand({
    usage: 'rotate <name>',
    summary: 'Request a rotation of the signing key now.',
    details:
      'The next key is published, and signs when its activation delay is over. A rotation that is in progress answers the request.',
    examples: [['kubectl lti rotate canvas -n gradebook', 'Rotate the key of one registration']],
  });
  return withClusterOptions(command).action(
    onCluster<ClusterOptions>(terminal, async (cluster, _options, [name]) => {
      const requestedAt = formatInstant(terminal.clock.now().getTime());
      const { metadata, spec, status } = await changeRegistration(cluster, name!, (registration) => {
        const annotations = { ...registration.metadata.annotations, [rotateRequestedAtAnnotation]: requestedAt };
        return { ...registration, metadata: { ...registration.metadata, annotations } };
      });
      terminal.out(`ltiregistration.ltikeys.dev/${metadata.name}: rotation requested\n`);
      if (spec.suspend)
        terminal.err('The registration is suspended: the rotation starts when spec.suspend is false.\n');
      else if (status?.nextKey)
        terminal.err(`${status.nextKey.name} is already in progress and answers this request.\n`);
      terminal.err(`Follow it with: kubectl lti status ${metadata.name} -n ${metadata.namespace}\n`);
    }),
  );
}
