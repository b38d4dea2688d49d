import { isDeepStrictEqual } from 'node:util';
import type { KeyConditionType } from '../api/conditions.ts';
import { apiVersion, ltiKeyName, registrationLabel } from '../api/names.ts';
import type { LtiKey } from '../api/objects.ts';
import { conditions, type Verdict } from './condition.ts';
import { formatInstant, type Instant } from './duration.ts';
import type { Effect } from './effects.ts';
import { isFinal, publishedStates } from './key-state.ts';
import type { Ledger, LedgerKey } from './ledger.ts';
import type { KeyMaterial, Situation } from './situation.ts';

/** The ledger's public face: one LtiKey for each key on record, and none besides. */

type KeyStatus = NonNullable<LtiKey['status']>;
type Verdicts = Partial<Record<KeyConditionType, Verdict>>;

/** What the LtiKey of one row of the ledger is to be. `more`: conditions that the ledger says nothing about. */
export function ltiKeyOf(
  ledger: Ledger,
  key: LedgerKey,
  keyMaterial: KeyMaterial | undefined,
  previous: KeyStatus | undefined,
  now: Instant,
  more: Verdicts = {},
): LtiKey {
  const verdicts: Verdicts =
    isFinal(key.state) || !keyMaterial ? more : { KeyMaterialAvailable: keyMaterialVerdict(keyMaterial), ...more };
  return {
    apiVersion,
    kind: 'LtiKey',
    metadata: {
      name: ltiKeyName(ledger.registration, key.revision),
      namespace: ledger.namespace,
      labels: { [registrationLabel]: ledger.registration },
    },
    spec: {
      registrationRef: { name: ledger.registration },
      revision: key.revision,
      keyID: key.keyID,
      algorithm: key.algorithm,
      size: key.size,
      publicJWK: key.publicJWK,
    },
    status: {
      state: key.state,
      ...(key.verifyOnly ? { verifyOnly: true } : {}),
      ...times(key, ['createdAt', 'publishedAt', 'activatedAt', 'retireAt', 'retiredAt', 'revokedAt']),
      ...leftAlready(key, previous),
      ...(isFinal(key.state) || keyMaterial?.kekID === undefined ? {} : { kekID: keyMaterial.kekID }),
      ledgerSerial: ledger.serial,
      conditions: conditions(verdicts, previous?.conditions, undefined, now),
    },
  };
}

/** It may have left before the ledger could record it, and goes on saying since when. */
function leftAlready({ state }: LedgerKey, previous: KeyStatus | undefined): Pick<KeyStatus, 'revokedAt'> {
  const { revokedAt } = previous ?? {};
  return state === 'Revoked' && previous?.state === 'Revoked' && revokedAt !== undefined ? { revokedAt } : {};
}

export function isShownPublished({ status }: LtiKey): boolean {
  return status?.state !== undefined && publishedStates.has(status.state);
}

/** One that shows that there is a ledger: of keys that are over nothing is lost with it. */
export function lastingKey(shown: readonly LtiKey[]): LtiKey | undefined {
  return shown.find(isLasting);
}

export function isLasting({ status }: LtiKey): boolean {
  return status?.state === undefined || !isFinal(status.state);
}

/**
 * Takes keys out of the documents without the ledger: their LtiKeys keep the serial that they show. Also those without a state,
 * for publishers go on with a key whose LtiKey returned without one.
 */
export function unpublishEffects(situation: Situation, leaves: (key: LtiKey) => boolean): readonly Effect[] {
  const revokedAt = formatInstant(situation.now);
  return situation.shown
    .filter((key) => isLasting(key) && leaves(key))
    .map((key) => unpublish(situation, key, { ...key.status, state: 'Revoked', revokedAt }));
}

/** Ends all keys of a registration that is removed, also those that were about to be shown: no LtiKey then speaks of a ledger. */
export function retireEffects(situation: Situation): readonly Effect[] {
  const retiredAt = formatInstant(situation.now);
  return situation.shown
    .filter(isLasting)
    .map((key) => unpublish(situation, key, { ...key.status, state: 'Retired', retiredAt }));
}

/** A state that cannot be written leaves one way out: publishers give a deleted LtiKey up after their grace period. */
function unpublish({ refused }: Situation, key: LtiKey, status: KeyStatus): Effect {
  if (refused.has(`showKey ${key.metadata.name}`)) return { kind: 'removeKey', key };
  return { kind: 'showKey', key: { ...key, status } };
}

/**
 * Makes the LtiKeys show `ledger`, and removes those that it does not list. `urgent` takes revoked keys out of the documents:
 * it waits for no other write.
 */
export function ltiKeyEffects(
  situation: Situation,
  ledger: Ledger,
  keyMaterial: ReadonlyMap<string, KeyMaterial>,
  more: Verdicts = {},
): { readonly urgent: readonly Effect[]; readonly rest: readonly Effect[] } {
  const { shown, refused, now } = situation;
  const strangers = new Map(shown.map((key) => [key.metadata.name, key]));
  const urgent: Effect[] = [];
  const create: Effect[] = [];
  const show: Effect[] = [];
  for (const row of ledger.keys) {
    const existing = strangers.get(ltiKeyName(ledger.registration, row.revision));
    const key = ltiKeyOf(ledger, row, keyMaterial.get(row.keyID), existing?.status, now, more);
    strangers.delete(key.metadata.name);
    // Publishers keep a key whose LtiKey returns without a status; one that they should forget returns when they have.
    if (!existing && row.state === 'Revoked' && row.absentAt === undefined) continue;
    const isOther = existing !== undefined && !isDeepStrictEqual(existing.spec, key.spec);
    if (existing && !isOther && showsTheSame(existing.status, key.status)) continue;
    if (existing && !isOther && row.state === 'Revoked' && isShownPublished(existing)) {
      const serial = existing.status?.ledgerSerial;
      urgent.push(
        unpublish(situation, existing, { ...key.status, ...(serial === undefined ? {} : { ledgerSerial: serial }) }),
      );
      continue;
    }
    if (isOther) create.push({ kind: 'removeKey', key: existing });
    // One that cannot be made, because another one keeps its name for instance, has no state to show.
    if (isOther && refused.has(`removeKey ${existing.metadata.name}`)) continue;
    if (!existing || isOther) create.push({ kind: 'createKey', key });
    if (refused.has(`createKey ${key.metadata.name}`)) continue;
    // All are there before the first is published, and the Active one comes last: until then publishers that have published
    // none of them wait for the others (see publish/held-back.ts).
    if (row.state === 'Active') show.push({ kind: 'showKey', key });
    else show.unshift({ kind: 'showKey', key });
  }
  // What publishers show of a key that no ledger knows leaves before its LtiKey does; not before the ledger forgets it.
  const unpublished = unpublishEffects(situation, ({ metadata }) => strangers.has(metadata.name));
  const remove = [...strangers.values()].map((key): Effect => ({ kind: 'removeKey', key }));
  return { urgent, rest: [...unpublished, ...remove, ...create, ...show] };
}

/** The serial alone is no change: what a key shows at one serial is what it shows at the next ones, until it changes. */
function showsTheSame(existing: KeyStatus | undefined, desired: KeyStatus | undefined): boolean {
  return existing !== undefined && isDeepStrictEqual({ ...existing, ledgerSerial: 0 }, { ...desired, ledgerSerial: 0 });
}

function keyMaterialVerdict(keyMaterial: KeyMaterial): Verdict {
  return keyMaterial.opens
    ? {
        status: 'True',
        reason: 'KeysDecryptable',
        message: 'the sealed private key can be decrypted and matches the public key',
      }
    : { status: 'False', reason: keyMaterial.reason, message: keyMaterial.message };
}

type KeyTime = 'createdAt' | 'publishedAt' | 'activatedAt' | 'retireAt' | 'retiredAt' | 'revokedAt';

export function times<Name extends KeyTime>(key: LedgerKey, names: readonly Name[]): { readonly [_ in Name]?: string } {
  const present = names.flatMap((name) => (key[name] === undefined ? [] : [[name, formatInstant(key[name])]]));
  return Object.fromEntries(present) as { readonly [_ in Name]?: string };
}
