import type { Command } from 'commander';
import { acknowledgedRevocationsAnnotation } from '../../api/names.ts';
import type { LtiRegistration } from '../../api/objects.ts';
import { changeRegistration, type Cluster, type ClusterOptions, getRegistration, keysOf } from '../cluster.ts';
import { describedCommand, onCluster, withClusterOptions } from '../command.ts';
import { CliError } from '../exit-codes.ts';
import type { Terminal } from '../terminal.ts';

interface AcknowledgeOptions extends ClusterOptions {
  readonly revocation?: boolean;
}

export function acknowledgeCommand(terminal: Terminal): Command {
  const command = describedCommand({
    usage: 'acknowledge <name> [keyID]',
    summary: 'Record that a key has been pasted at the platform, or that the platform no longer accepts a revoked key.',
    details: `For registrations with keyDistribution Manual, and for those with activation AfterFetch whose next key is to sign although no client has fetched it: without a key ID, the key that waits is acknowledged, so that it may sign. This changes spec.acknowledgedKeyID: if the registration comes from Git, change it there.

With --revocation: without a key ID, all revoked keys are acknowledged, and the condition RevocationEffective is no longer pending. This adds to the annotation ${acknowledgedRevocationsAnnotation}. Do it after the platform refused a token of the revoked key, after you purged its caches, or, for Moodle, after it accepted a token of the new key.`,
    examples: [
      ['kubectl lti public-key canvas -n gradebook --next', 'Print the key to paste at the platform'],
      ['kubectl lti acknowledge canvas -n gradebook', 'Acknowledge it'],
      ['kubectl lti acknowledge moodle -n gradebook --revocation', 'Moodle no longer accepts the revoked keys'],
    ],
  });
  return withClusterOptions(command)
    .option('--revocation', 'Acknowledge that the platform no longer accepts revoked keys.')
    .action(
      onCluster<AcknowledgeOptions>(terminal, async (cluster, { revocation }, [name = '', given]) => {
        const acknowledged = revocation
          ? await acknowledgeRevocation(cluster, name, given)
          : `key ${await acknowledgeKey(cluster, name, given)}`;
        terminal.out(`ltiregistration.ltikeys.dev/${name}: ${acknowledged} acknowledged\n`);
      }),
    );
}

/** The ID of the key that may sign from now on. */
async function acknowledgeKey(cluster: Cluster, name: string, given: string | undefined): Promise<string> {
  let keyID = '';
  await changeRegistration(cluster, name, (registration) => {
    const { spec, status } = registration;
    if (spec.keyDistribution !== 'Manual' && spec.activation !== 'AfterFetch') {
      throw new CliError(
        `${name} has keyDistribution ${spec.keyDistribution} and activation ${spec.activation}: its keys need no acknowledgement, nothing was changed`,
      );
    }
    const waiting = status?.nextKey?.keyID ?? status?.activeKey?.keyID;
    if (waiting === undefined) throw new CliError(`${name} has no key yet: wait until kubectl lti status shows one`);
    if (given !== undefined && given !== status?.nextKey?.keyID && given !== status?.activeKey?.keyID) {
      throw new CliError(
        `${given} is neither the next nor the signing key of ${name}: the key that waits is ${waiting}`,
      );
    }
    keyID = given ?? waiting;
    if (spec.acknowledgedKeyID === keyID) return undefined;
    return { ...registration, spec: { ...spec, acknowledgedKeyID: keyID } };
  });
  return keyID;
}

/** What was acknowledged, for people. */
async function acknowledgeRevocation(cluster: Cluster, name: string, given: string | undefined): Promise<string> {
  const keys = await keysOf(cluster, name);
  const revoked = keys.flatMap(({ spec, status }) => (status?.state === 'Revoked' ? [spec.keyID] : []));
  if (revoked.length === 0) {
    await getRegistration(cluster, name);
    throw new CliError(`${name} has no revoked key: nothing was changed`);
  }
  if (given !== undefined && !revoked.includes(given)) {
    throw new CliError(
      `${given} is not a revoked key of ${name}: nothing was changed; its revoked keys are ${revoked.join(', ')}`,
    );
  }
  const wanted = given === undefined ? revoked : [given];
  await changeRegistration(cluster, name, (registration) => withAcknowledged(registration, wanted));
  return `revocation of ${wanted.join(', ')}`;
}

function withAcknowledged(registration: LtiRegistration, keyIDs: readonly string[]): LtiRegistration | undefined {
  const { metadata, status } = registration;
  const condition = status?.conditions?.find(({ type }) => type === 'RevocationEffective');
  if (condition?.reason === 'RevokedKeyStillServed') {
    throw new CliError(
      `${condition.message}: nothing was changed; acknowledge it after kubectl lti status says that no replica serves the key`,
    );
  }
  const before = metadata.annotations?.[acknowledgedRevocationsAnnotation]?.split(' ') ?? [];
  const added = keyIDs.filter((keyID) => !before.includes(keyID));
  if (added.length === 0) return undefined;
  const annotations = {
    ...metadata.annotations,
    [acknowledgedRevocationsAnnotation]: [...before, ...added].filter(Boolean).join(' '),
  };
  return { ...registration, metadata: { ...metadata, annotations } };
}
