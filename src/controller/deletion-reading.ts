import {
  customResourceDefinitions,
  ltiKeyName,
  ltiKeys,
  ltiRegistrations,
  registrationDefinitionName,
} from '../api/names.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import { deletionPolicyOf } from '../domain/deletion-evidence.ts';
import type { Duration } from '../domain/duration.ts';
import type { Ledger } from '../domain/ledger.ts';
import type { DefinitionReading, Fault, Gone, RegistrationReading } from '../domain/situation.ts';
import type { KubeClient } from '../kube/client.ts';
import { ifExists } from '../kube/errors.ts';
import { type ObjectKey, splitKey } from '../kube/objects.ts';
import { isGivenUp, isUnreadable, isUnreadableOrGivenUp, refusalText } from './failed-requests.ts';

/** What is known of a registration that the cache lacks. */

type Reader = Pick<KubeClient, 'get'>;

/** What this process saw of a registration before it was deleted. */
export type LastState = Pick<Gone, 'last' | 'lastCreatedAt'>;

/** Asks the API server, because the cache may be behind. A missing resource type proves nothing about the object. */
export async function readGone(
  client: Reader,
  key: ObjectKey,
  known: LastState,
  ledger: Ledger | undefined,
  failingFor: Duration,
): Promise<RegistrationReading> {
  const { namespace, name } = splitKey(key);
  const { last } = known;
  try {
    const found = await ifExists(client.get<LtiRegistration>(ltiRegistrations, namespace, name));
    if (found) return { kind: 'unknown' };
  } catch (error) {
    const revokes = last !== undefined && last.revokedKeyIDs.size > 0;
    if (!isUnreadable(error) && !(revokes && isGivenUp(error, failingFor))) throw error;
    return { kind: 'unknown', ...(last ? { last } : {}) };
  }
  return {
    kind: 'gone',
    ...known,
    ...(ledger && deletionPolicyOf(ledger, last) === 'Delete'
      ? { definition: await readDefinition(client, failingFor) }
      : {}),
  };
}

/** Reads live, after the registration: a deletion of the definition that deleted the registration has begun by then. */
async function readDefinition(client: Reader, failingFor: Duration): Promise<DefinitionReading> {
  try {
    const found = await ifExists(client.get(customResourceDefinitions, undefined, registrationDefinitionName));
    if (found === undefined) return { kind: 'absent' };
    const { metadata } = found;
    const createdAt = Date.parse(metadata.creationTimestamp ?? '');
    if (Number.isNaN(createdAt)) return { kind: 'unreadable', because: 'it has no creationTimestamp' };
    return { kind: 'present', createdAt, isTerminating: metadata.deletionTimestamp !== undefined };
  } catch (error) {
    if (!isUnreadableOrGivenUp(error, failingFor)) throw error;
    return { kind: 'unreadable', because: refusalText(error) };
  }
}

/** LtiKeys that the cache lacks, and why others could not be read. */
export interface UncachedKeys {
  readonly keys: readonly LtiKey[];
  readonly unreadKeys?: Fault;
}

/**
 * LtiKeys of the ledger that the cache lacks. The removal of a registration must not miss one that another leader created:
 * without its ledger, the LtiKey would be published forever.
 */
export async function uncachedKeys(
  client: Reader,
  shown: readonly LtiKey[],
  { namespace, registration, keys }: Ledger,
  failingFor: Duration,
): Promise<UncachedKeys> {
  const names = new Set(shown.map(({ metadata }) => metadata.name));
  const missing = keys.map(({ revision }) => ltiKeyName(registration, revision)).filter((name) => !names.has(name));
  const readings = await Promise.all(
    missing.map(async (name): Promise<UncachedKeys> => {
      try {
        const found = await ifExists(client.get<LtiKey>(ltiKeys, namespace, name));
        return { keys: found ? [found] : [] };
      } catch (error) {
        if (!isUnreadableOrGivenUp(error, failingFor)) throw error;
        const message = `the operator cannot read LtiKey ${namespace}/${name}, so it keeps the ledger: ${refusalText(error)}`;
        return { keys: [], unreadKeys: { reason: 'LedgerUnreadable', message } };
      }
    }),
  );
  const unread = readings.find(({ unreadKeys }) => unreadKeys);
  return { ...unread, keys: readings.flatMap((reading) => reading.keys) };
}
