import { createPublicKey } from 'node:crypto';
import { type Command, Option } from 'commander';
import { ltiKeys } from '../../api/names.ts';
import type { LtiKey } from '../../api/objects.ts';
import { type ClusterOptions, getRegistration } from '../cluster.ts';
import { describedCommand, onCluster, withClusterOptions } from '../command.ts';
import { CliError } from '../exit-codes.ts';
import type { Terminal } from '../terminal.ts';

interface PublicKeyOptions extends ClusterOptions {
  readonly next?: boolean;
  readonly format: 'pem' | 'jwk';
}

export function publicKeyCommand(terminal: Terminal): Command {
  const command = describedCommand({
    usage: 'public-key <name>',
    summary: 'Print the public key of a registration, to paste at a platform that fetches no JWKS URL.',
    examples: [
      ['kubectl lti public-key canvas -n gradebook', 'The key that signs, as PEM'],
      ['kubectl lti public-key canvas -n gradebook --next --format jwk', 'The key that signs next, as a JWK'],
    ],
  });
  return withClusterOptions(command)
    .option('--next', 'Print the key that signs next.')
    .addOption(new Option('--format <format>', 'PEM (SPKI) or JWK.').choices(['pem', 'jwk']).default('pem'))
    .action(
      onCluster<PublicKeyOptions>(terminal, async (cluster, { next, format }, [name]) => {
        const { status } = await getRegistration(cluster, name!);
        const wanted = next ? status?.nextKey : status?.activeKey;
        if (!wanted) {
          throw new CliError(
            next
              ? `no rotation of ${name} is in progress, so it has no next key: start one with kubectl lti rotate ${name} -n ${cluster.namespace}`
              : `no key of ${name} signs yet: see kubectl lti status ${name} -n ${cluster.namespace}`,
          );
        }
        const key = await cluster.client.get<LtiKey>(ltiKeys, cluster.namespace, wanted.name);
        const jwk = key.spec.publicJWK;
        terminal.out(
          format === 'jwk'
            ? `${JSON.stringify(jwk, undefined, 2)}\n`
            : createPublicKey({ key: { ...jwk }, format: 'jwk' })
                .export({ type: 'spki', format: 'pem' })
                .toString(),
        );
        terminal.err(`Key ID: ${wanted.keyID}\n`);
      }),
    );
}
