import { ledgerEntry, ledgerSecretType, ltiKeys, secrets } from '../api/names.ts';
import type { LtiKey } from '../api/objects.ts';
import { namedKek } from '../crypto/sealed-format.ts';
import type { KubeClient } from '../kube/client.ts';
import { isRefusal } from '../kube/errors.ts';
import { objectKey, type Secret } from '../kube/objects.ts';

/** The number of private keys that each key-encryption key seals. */
export interface SealedKeys {
  /** Ledgers have every sealed key. LtiKeys are made from them, and a key may be sealed before its LtiKey exists. */
  readonly source: 'ledgers' | 'LtiKeys';
  /** Undefined: all namespaces. */
  readonly namespace: string | undefined;
  readonly counts: ReadonlyMap<string, number>;
  /** Ledgers with a sealed key whose header cannot be read: their KEK is unknown. */
  readonly unreadable: readonly string[];
}

const sealedEnding = '.jwe';

export async function listLedgers(client: KubeClient, namespace: string | undefined): Promise<readonly Secret[]> {
  const { items } = await client.list<Secret>(secrets, { namespace, fieldSelector: `type=${ledgerSecretType}` });
  return items;
}

/** The sealed keys in a ledger Secret, by the names of its entries. */
export function sealedIn({ data = {} }: Secret): readonly (readonly [entry: string, jwe: string])[] {
  return Object.entries(data)
    .filter(([entry]) => entry !== ledgerEntry && entry.endsWith(sealedEnding))
    .map(([entry, value]) => [entry, Buffer.from(value, 'base64').toString()] as const);
}

/** Counts by the ledgers, or by the LtiKeys if the user may not list Secrets. */
export async function countSealedKeys(client: KubeClient, namespace: string | undefined): Promise<SealedKeys> {
  let ledgers: readonly Secret[];
  try {
    ledgers = await listLedgers(client, namespace);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const keys = await client.list<LtiKey>(ltiKeys, { namespace });
    const counts = count(keys.items.flatMap(({ status }) => status?.kekID ?? []));
    return { source: 'LtiKeys', namespace, counts, unreadable: [] };
  }
  const kekIDs: string[] = [];
  const unreadable: string[] = [];
  for (const ledger of ledgers) {
    for (const [entry, jwe] of sealedIn(ledger)) {
      const kekID = namedKek(jwe);
      if (kekID === undefined) unreadable.push(`${objectKey(ledger)}, entry ${entry}`);
      else kekIDs.push(kekID);
    }
  }
  return { source: 'ledgers', namespace, counts: count(kekIDs), unreadable };
}

function count(kekIDs: readonly string[]): ReadonlyMap<string, number> {
  return new Map([...Map.groupBy(kekIDs.toSorted(), (kekID) => kekID)].map(([kekID, all]) => [kekID, all.length]));
}
