import { isDeepStrictEqual } from 'node:util';
import type { KeyConditionType } from '../api/conditions.ts';
import { apiVersion, ltiKeyName, registrationLabel } from '../api/names.ts';
import type { LtiKey } from '../api/objects.ts';
import { formatInstant, type Instant } from './duration.ts';
import { type Effect, effectID, isRefused } from './effects.ts';
import { isFinal, publishedStates } from './key-state.ts';
import type { Ledger, LedgerKey } from './ledger.ts';
import type { Fault, KeyMaterial, Situation } from './situation.ts';
import { conditions, faultVerdict, type Verdict } from './verdict.ts';

/** The LtiKeys of a ledger: one for each of its keys, and no others. */

type KeyStatus = NonNullable<LtiKey['status']>;
type Verdicts = Partial<Record<KeyConditionType, Verdict>>;

/** The LtiKey of one row of the ledger. `more`: conditions that do not come from the ledger. */
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

/** A key that left before the ledger could record its revocation keeps the time. */
function leftAlready({ state }: LedgerKey, previous: KeyStatus | undefined): Pick<KeyStatus, 'revokedAt'> {
  const { revokedAt } = previous ?? {};
  return state === 'Revoked' && previous?.state === 'Revoked' && revokedAt !== undefined ? { revokedAt } : {};
}

export function isShownPublished({ status }: LtiKey): boolean {
  return status?.state !== undefined && publishedStates.has(status.state);
}

/** An LtiKey that proves that there was a ledger. One of a final key does not: nothing is lost with it. */
export function ledgerEvidence(ltiKeys: readonly LtiKey[]): LtiKey | undefined {
  return ltiKeys.find(mayBeLive);
}

/** Why a revoked key stays in the documents: its LtiKey can neither be changed nor deleted. */
export function stillPublished(
  { namespace, ltiKeys, refused }: Situation,
  revoked: ReadonlySet<string>,
): Fault | undefined {
  for (const key of ltiKeys) {
    const refusal = refused.get(effectID({ kind: 'removeKey', key }));
    if (!refusal || !isShownPublished(key) || !revoked.has(key.spec.keyID)) continue;
    const message = `LtiKey ${namespace}/${key.metadata.name} still publishes revoked key ${key.spec.keyID}, because the operator can neither change nor delete it: ${refusal.because}. Remove the cause`;
    return { reason: 'RevokedKeyStillServed', message };
  }
  return undefined;
}

export function mayBeLive({ status }: LtiKey): boolean {
  return status?.state === undefined || !isFinal(status.state);
}

/**
 * Removes keys from the documents without the ledger: their LtiKeys keep the serial that they show. This includes LtiKeys without
 * a state, because publishers keep a key whose LtiKey was recreated without one.
 */
export function unpublishEffects(situation: Situation, leaves: (key: LtiKey) => boolean): readonly Effect[] {
  const revokedAt = formatInstant(situation.now);
  return situation.ltiKeys
    .filter((key) => mayBeLive(key) && leaves(key))
    .map((key) => unpublish(situation, key, { ...key.status, state: 'Revoked', revokedAt }));
}

/** Retires all keys of a deleted registration, including those without a state, so that no LtiKey proves that there is a ledger. */
export function retireEffects(situation: Situation): readonly Effect[] {
  const retiredAt = formatInstant(situation.now);
  return situation.ltiKeys
    .filter(mayBeLive)
    .map((key) => unpublish(situation, key, { ...key.status, state: 'Retired', retiredAt }));
}

/** If the state cannot be written, the LtiKey is deleted instead: publishers drop it after their grace period. */
function unpublish(situation: Situation, key: LtiKey, status: KeyStatus): Effect {
  if (isRefused(situation, 'showKey', key.metadata.name)) return { kind: 'removeKey', key };
  return { kind: 'showKey', key: { ...key, status } };
}

/**
 * Makes the LtiKeys show `ledger`, and deletes those that it does not list. `urgent` removes revoked keys from the documents and
 * waits for no other write.
 */
export function ltiKeyEffects(
  situation: Situation,
  ledger: Ledger,
  keyMaterial: ReadonlyMap<string, KeyMaterial>,
  more: Verdicts = {},
): { readonly urgent: readonly Effect[]; readonly rest: readonly Effect[] } {
  const { ltiKeys, now } = situation;
  const unlisted = new Map(ltiKeys.map((key) => [key.metadata.name, key]));
  const urgent: Effect[] = [];
  const create: Effect[] = [];
  const show: Effect[] = [];
  for (const row of ledger.keys) {
    const existing = unlisted.get(ltiKeyName(ledger.registration, row.revision));
    const key = ltiKeyOf(ledger, row, keyMaterial.get(row.keyID), existing?.status, now, more);
    unlisted.delete(key.metadata.name);
    const effects = rowEffects(situation, row, key, existing);
    urgent.push(...effects.urgent);
    create.push(...effects.create);
    // Every LtiKey exists before the first is published, and the Active one is shown last: until then, publishers that have
    // published none of them wait for the others (see publish/held-back.ts).
    if (row.state === 'Active') show.push(...effects.show);
    else show.unshift(...effects.show);
  }
  // A key that the ledger does not list is unpublished before its LtiKey is deleted.
  const unpublished = unpublishEffects(situation, ({ metadata }) => unlisted.has(metadata.name));
  const remove = [...unlisted.values()].map((key): Effect => ({ kind: 'removeKey', key }));
  return { urgent, rest: [...unpublished, ...remove, ...create, ...show] };
}

interface RowEffects {
  readonly urgent: readonly Effect[];
  readonly create: readonly Effect[];
  readonly show: readonly Effect[];
}

function rowEffects(situation: Situation, row: LedgerKey, key: LtiKey, existing: LtiKey | undefined): RowEffects {
  const none: RowEffects = { urgent: [], create: [], show: [] };
  const create: Effect[] = [];
  if (existing && isDeepStrictEqual(existing.spec, key.spec)) {
    if (showsTheSame(existing.status, key.status)) return none;
    if (row.state === 'Revoked' && mayBePublished(existing, row)) {
      // The ledger may not be written yet: the LtiKey keeps the serial that it shows.
      const { ledgerSerial: _, ...shown } = key.status ?? {};
      const serial = existing.status?.ledgerSerial;
      const status = { ...shown, ...(serial === undefined ? {} : { ledgerSerial: serial }) };
      return { ...none, urgent: [unpublish(situation, existing, status)] };
    }
  } else {
    // Publishers keep a key whose LtiKey is recreated without a status; a revoked one is recreated only after they dropped it.
    if (!existing && row.state === 'Revoked' && row.absentAt === undefined) return none;
    if (existing) create.push({ kind: 'removeKey', key: existing });
    // Another LtiKey keeps the name if it cannot be deleted.
    if (existing && isRefused(situation, 'removeKey', existing.metadata.name)) return { ...none, create };
    create.push({ kind: 'createKey', key });
  }
  // An LtiKey that cannot be created has no status to write.
  return {
    ...none,
    create,
    show: isRefused(situation, 'createKey', key.metadata.name) ? [] : [{ kind: 'showKey', key }],
  };
}

/** Publishers keep a key whose LtiKey lost its state until they see another one. */
function mayBePublished(existing: LtiKey, { absentAt }: LedgerKey): boolean {
  return isShownPublished(existing) || (existing.status?.state === undefined && absentAt === undefined);
}

/** A new serial alone is no reason to write a status. */
function showsTheSame(existing: KeyStatus | undefined, desired: KeyStatus | undefined): boolean {
  return existing !== undefined && isDeepStrictEqual({ ...existing, ledgerSerial: 0 }, { ...desired, ledgerSerial: 0 });
}

function keyMaterialVerdict(keyMaterial: KeyMaterial): Verdict {
  if (!keyMaterial.opens) return faultVerdict(keyMaterial);
  const message = 'the sealed private key can be decrypted and matches the public key';
  return { status: 'True', reason: 'KeysDecryptable', message };
}

type KeyTime = 'createdAt' | 'publishedAt' | 'activatedAt' | 'retireAt' | 'retiredAt' | 'revokedAt';

export function times<Name extends KeyTime>(key: LedgerKey, names: readonly Name[]): { readonly [_ in Name]?: string } {
  const present = names.flatMap((name) => (key[name] === undefined ? [] : [[name, formatInstant(key[name])]]));
  return Object.fromEntries(present) as { readonly [_ in Name]?: string };
}
