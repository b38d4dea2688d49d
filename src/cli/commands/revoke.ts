import type { Command } from 'commander';
import { apiVersion, ledgerEntry, ledgerSecretName, ltiRegistrations, secrets } from '../../api/names.ts';
import type { LtiKey, LtiRegistration } from '../../api/objects.ts';
import { type Duration, second } from '../../domain/duration.ts';
import { isConflict, isObjectNotFound } from '../../kube/errors.ts';
import type { Secret } from '../../kube/objects.ts';
import { sleep } from '../../lib/clock.ts';
import {
  changeRegistration,
  type Cluster,
  type ClusterOptions,
  durationOption,
  findRegistration,
  keysOf,
} from '../cluster.ts';
import { describedCommand, onCluster, withClusterOptions } from '../command.ts';
import { CliError, exitCodes } from '../exit-codes.ts';
import type { Terminal } from '../terminal.ts';

interface RevokeOptions extends ClusterOptions {
  readonly yes?: boolean;
  readonly wait: boolean;
  readonly timeout: string;
  readonly issuer?: string;
}

export function revokeCommand(terminal: Terminal): Command {
  const command = describedCommand({
    usage: 'revoke <name> <keyID...>',
    summary: 'Revoke keys: they leave the JWKS at once and are never trusted again.',
    details: `If another key is ready within 20 seconds, it takes over before a signing key is removed. The command adds the key IDs to spec.revokedKeyIDs and waits until no replica serves the keys; it shows which replica still does. If the registration comes from Git, add the key IDs there, too, so that the next synchronization keeps them.

If the registration was deleted and its keys are retained, the command creates it again, suspended, for as long as the revocation takes, and deletes it.`,
    examples: [
      ['kubectl get ltikeys -n gradebook', 'Find the key ID'],
      ['kubectl lti revoke canvas 7ljejHE3vU3T_Ef9DKXKcnyv9mehgx0M1LWFt7fjN7g -n gradebook', 'Revoke a leaked key'],
    ],
  });
  return withClusterOptions(command)
    .option('--yes', 'Do not ask for confirmation.')
    .option('--no-wait', 'Do not wait until the keys are gone.')
    .option('--timeout <duration>', 'How long to wait, such as 90s or 5m.', '5m')
    .option('--issuer <url>', 'The issuer of a deleted registration whose ledger cannot be read.')
    .action(
      onCluster<RevokeOptions>(terminal, async (cluster, options, [name = '', ...keyIDs]) => {
        const timeout = durationOption('--timeout', options.timeout);
        const registration = await findRegistration(cluster, name);
        const keys = await keysOf(cluster, name);
        refuseUnknown(cluster, name, registration, keys, keyIDs);
        await confirmed(terminal, options, `${cluster.namespace}/${name}`, keys, keyIDs);
        const changed = registration
          ? await changeRegistration(cluster, name, (present) => withRevoked(present, keyIDs))
          : await revive(cluster, name, keyIDs, options.issuer);
        terminal.out(`ltiregistration.ltikeys.dev/${name}: ${keyIDs.join(', ')} revoked\n`);
        try {
          if (options.wait) await untilGone(cluster, changed, timeout, terminal);
        } finally {
          if (!registration) await removeRevived(cluster, name, timeout, terminal);
        }
      }),
    );
}

function refuseUnknown(
  { namespace }: Cluster,
  name: string,
  registration: LtiRegistration | undefined,
  keys: readonly LtiKey[],
  keyIDs: readonly string[],
): void {
  if (!registration && keys.length === 0) {
    throw new CliError(
      `namespace ${namespace} has neither a registration ${name} nor keys of it: choose the namespace with -n, or list all with: kubectl lti status -A`,
    );
  }
  const unknown = keyIDs.filter((keyID) => !keys.some(({ spec }) => spec.keyID === keyID));
  if (unknown.length === 0) return;
  const known = keys.map(({ spec, status }) => `\n  ${spec.keyID} (${status?.state ?? 'no state yet'})`).join('');
  throw new CliError(
    `${name} has no key ${unknown.join(', ')}, so nothing was revoked; its keys are:${known || ' none'}`,
  );
}

async function confirmed(
  terminal: Terminal,
  { yes }: RevokeOptions,
  registration: string,
  keys: readonly LtiKey[],
  keyIDs: readonly string[],
): Promise<void> {
  if (yes) return;
  const signing = keys.find(({ spec, status }) => status?.state === 'Active' && keyIDs.includes(spec.keyID));
  const consequence = signing
    ? `${signing.metadata.name} signs now: platforms refuse its tokens until the tool uses the next key.`
    : 'None of them signs.';
  const answer = await terminal.confirm(
    `Revoke ${keyIDs.join(', ')} of ${registration}? ${consequence} A revocation cannot be undone.`,
  );
  if (answer) return;
  throw new CliError(
    answer === undefined ? 'nothing was revoked: confirm with --yes' : 'nothing was revoked',
    answer === undefined ? exitCodes.usage : exitCodes.failure,
  );
}

function withRevoked(registration: LtiRegistration, keyIDs: readonly string[]): LtiRegistration | undefined {
  const { spec } = registration;
  const before = spec.revokedKeyIDs ?? [];
  const added = keyIDs.filter((keyID) => !before.includes(keyID));
  if (added.length === 0) return undefined;
  const { acknowledgedKeyID, ...rest } = spec;
  const keep = acknowledgedKeyID !== undefined && !keyIDs.includes(acknowledgedKeyID);
  return {
    ...registration,
    spec: { ...rest, ...(keep ? { acknowledgedKeyID } : {}), revokedKeyIDs: [...before, ...added] },
  };
}

/** Creates a deleted registration again, of its issuer and with nothing but the revocation. */
async function revive(
  cluster: Cluster,
  name: string,
  revokedKeyIDs: readonly string[],
  given: string | undefined,
): Promise<LtiRegistration> {
  const issuer = given ?? (await recordedIssuer(cluster, name));
  // The API server fills in the defaults.
  const object = {
    apiVersion,
    kind: 'LtiRegistration',
    metadata: { namespace: cluster.namespace, name },
    spec: { ...(issuer === undefined ? {} : { issuer }), suspend: true, deletionPolicy: 'Retain', revokedKeyIDs },
  };
  // oxlint-disable-next-line no-unsafe-type-assertion -- the rest of the spec are defaults
  return cluster.client.create<LtiRegistration>(ltiRegistrations, object as unknown as LtiRegistration);
}

/** `undefined` if the issuer was not known when the ledger was last written. */
async function recordedIssuer({ client, namespace }: Cluster, name: string): Promise<string | undefined> {
  const ask = 'give the issuer of the deleted registration with --issuer';
  try {
    const { data } = await client.get<Secret>(secrets, namespace, ledgerSecretName(name));
    const ledger: unknown = JSON.parse(Buffer.from(data?.[ledgerEntry] ?? '', 'base64').toString());
    const { issuer, keys } = (ledger ?? {}) as { readonly issuer?: unknown; readonly keys?: unknown };
    if (typeof issuer === 'string') return issuer;
    if (issuer === undefined && Array.isArray(keys)) return undefined;
  } catch (error) {
    if (!isObjectNotFound(error) && !(error instanceof SyntaxError)) throw error;
  }
  throw new CliError(`nothing was revoked: the ledger of ${name} does not record its issuer; ${ask}`);
}

const poll = second;

/** Resolves when no replica serves a revoked key any more; shows who does meanwhile. */
async function untilGone(
  { client, namespace }: Cluster,
  { metadata: { name, generation = 0 } }: LtiRegistration,
  timeout: Duration,
  { clock, signal, err, out }: Pick<Terminal, 'clock' | 'signal' | 'err' | 'out'>,
): Promise<void> {
  const until = clock.monotonic() + timeout;
  let last = `the operator has not seen the revocation yet`;
  for (let shown: string | undefined; clock.monotonic() < until && !signal.aborted; await sleep(clock, poll, signal)) {
    const { status } = await client.get<LtiRegistration>(ltiRegistrations, namespace, name);
    if ((status?.observedGeneration ?? -1) >= generation) {
      const condition = status?.conditions?.find(({ type }) => type === 'RevocationEffective');
      last = condition?.message ?? 'no revoked key is on record';
      if (condition?.reason !== 'RevokedKeyStillServed') return out(`${last}\n`);
    }
    if (last !== shown) err(`Waiting: ${last}\n`);
    shown = last;
  }
  if (signal.aborted) throw new CliError('interrupted; the revocation continues', exitCodes.interrupted);
  throw new CliError(
    `timed out: ${last}. The revocation continues; follow it with: kubectl lti status ${name} -n ${namespace}`,
    exitCodes.timedOut,
  );
}

/** Deletes the revived registration once the operator has seen it, because the API server refuses that before. */
async function removeRevived(
  { client, namespace }: Cluster,
  name: string,
  timeout: Duration,
  { clock, err }: Terminal,
): Promise<void> {
  const until = clock.monotonic() + timeout;
  for (; clock.monotonic() < until; await sleep(clock, poll)) {
    const object = await client.get<LtiRegistration>(ltiRegistrations, namespace, name);
    if (object.status?.observedGeneration !== object.metadata.generation) continue;
    try {
      return await client.delete(ltiRegistrations, object);
    } catch (error) {
      // The operator wrote the status after it was read.
      if (!isConflict(error)) throw error;
    }
  }
  err(
    `The command created LtiRegistration ${name} for this revocation and could not delete it, because the operator has not observed it yet. Delete it later with: kubectl delete ltiregistration ${name} -n ${namespace}\n`,
  );
}
