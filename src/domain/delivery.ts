import { isDeepStrictEqual } from 'node:util';
import {
  bundleAnnotation,
  deliveryKeyIDAnnotation,
  deliveryMetadataAnnotation,
  registrationLabel,
} from '../api/names.ts';
import type { LtiRegistration } from '../api/objects.ts';
import { publicFiles, wantedKeyFiles, withoutKey } from './delivery-files.ts';
import { type DeliveryContent, type Effect, effectID, isRefused } from './effects.ts';
import { isClockSkewed } from './preconditions.ts';
import { activeKey, keysIn, type Ledger, liveKeys } from './ledger.ts';
import type { Registration } from './registration.ts';
import {
  type DeliveryMetadata,
  type DeliverySecret,
  type DeliveryState,
  type Fault,
  isFault,
  type Situation,
} from './situation.ts';
import { publishedOverlap } from './timing.ts';

/** The Secrets that a tool mounts. A Secret that does not belong to the operator is never changed. */

type Ours = Extract<DeliverySecret, { kind: 'ours' }>;

export interface DeliveryEffects {
  /** Removes revoked keys from Secrets, and waits for no other write. */
  readonly urgent: readonly Effect[];
  readonly rest: readonly Effect[];
}

const mayHoldKey: Readonly<Record<DeliverySecret['kind'], boolean>> = {
  absent: false,
  foreign: false,
  unreadable: true,
  ours: true,
};

/** The facts about the delivery Secrets that the key policies need. */
export function deliveryState({ deliveries }: Situation, wanted: string | undefined): DeliveryState {
  const secret = wanted === undefined ? undefined : deliveries.get(wanted);
  const keyID = secret?.kind === 'ours' ? secret.keyID : undefined;
  const leftovers = [...deliveries].flatMap(([name, { kind }]) => (name !== wanted && mayHoldKey[kind] ? [name] : []));
  return { leftovers, ...(keyID === undefined ? {} : { keyID }) };
}

/** What the status says about the Secrets that a tool mounts. */
export interface DeliverySummary {
  /** Those that hold keys, or may hold some. */
  readonly secretNames: readonly string[];
  /** Which Secret still holds a revoked key or may hold one, and what to do. */
  readonly revoked?: string;
}

/** @param revoked the IDs of keys that no Secret may hold after all effects were carried out or refused */
export function summarizeDeliveries(
  { namespace, deliveries, refused }: Situation,
  revoked: ReadonlySet<string>,
): DeliverySummary {
  const secretNames = [...deliveries].flatMap(([name, { kind }]) => (mayHoldKey[kind] ? [name] : [])).toSorted();
  const held = [...deliveries].flatMap(([name, secret]): string[] => {
    if (secret.kind === 'ours' && secret.keyID !== undefined && revoked.has(secret.keyID)) {
      const { because } = refused.get(effectID({ kind: 'removeDelivery', secretName: name })) ?? {};
      const why = because === undefined ? '' : `: ${because}`;
      return [
        `Secret ${namespace}/${name} still holds revoked key ${secret.keyID}, because the operator can neither change nor delete it${why}. Delete the Secret, or remove the cause`,
      ];
    }
    if (secret.kind !== 'unreadable' || revoked.size === 0) return [];
    return [
      `Secret ${namespace}/${name} may still hold a revoked key (${[...revoked].join(', ')}): ${secret.fault.message}. Let the operator read the Secret, or delete it`,
    ];
  });
  return { secretNames, ...(held.length > 0 ? { revoked: held.join('; ') } : {}) };
}

/** Why nothing can be delivered. */
export function deliveryFault({ deliveries, recipient }: Situation, wanted: string | undefined): Fault | undefined {
  if (wanted === undefined) return undefined;
  const secret = deliveries.get(wanted);
  if (secret?.kind === 'foreign' || secret?.kind === 'unreadable') return secret.fault;
  return recipient && isFault(recipient) ? recipient : undefined;
}

/** Writes the signing key of `ledger` to the configured Secret, and deletes earlier Secrets once they are no longer needed. */
export function deliveryEffects(
  situation: Situation,
  object: LtiRegistration,
  registration: Registration,
  ledger: Ledger,
  revoked: ReadonlySet<string>,
): DeliveryEffects {
  const wanted = registration.deliverySecretName;
  const mayWrite = wanted !== undefined && !isRefused(situation, 'deliver', wanted);
  const content = mayWrite ? contentToWrite(situation, object, ledger, wanted) : undefined;
  const replaced = content?.keyID === undefined ? undefined : wanted;
  const urgent = stripEffects(situation, (name, keyID) => name !== replaced && revoked.has(keyID));
  const stripsWanted = urgent.some((effect) => effect.kind === 'deliver' && effect.content.secretName === wanted);
  return {
    urgent,
    rest: [
      ...(content && !stripsWanted ? [{ kind: 'deliver', content } as const] : []),
      ...leftoverEffects(situation, registration, ledger),
    ],
  };
}

/** Removes private keys from Secrets. A Secret that cannot be written is deleted, because an immutable one can be deleted. */
export function stripEffects(
  situation: Situation,
  leaves: (secretName: string, keyID: string) => boolean,
): readonly Effect[] {
  return [...situation.deliveries].flatMap(([secretName, secret]): Effect[] => {
    if (secret.kind !== 'ours' || secret.keyID === undefined || !leaves(secretName, secret.keyID)) return [];
    if (isRefused(situation, 'deliver', secretName)) return [{ kind: 'removeDelivery', secretName }];
    return [stripEffect(secretName, secret)];
  });
}

/** Deletes a Secret that no tool needs any more. One that cannot be deleted loses its private key. */
export function discardEffect(situation: Situation, secretName: string): Effect {
  const secret = situation.deliveries.get(secretName);
  const holdsKey = secret?.kind === 'ours' && secret.keyID !== undefined;
  return holdsKey && isRefused(situation, 'removeDelivery', secretName)
    ? stripEffect(secretName, secret)
    : { kind: 'removeDelivery', secretName };
}

function stripEffect(secretName: string, { entries, serial }: Ours): Effect {
  const metadata = { labels: {}, annotations: { [deliveryKeyIDAnnotation]: '' } };
  return { kind: 'deliver', content: { secretName, keyFiles: [], entries: withoutKey(entries), metadata, serial } };
}

/** Keys that no tool may have any more, even if the ledger cannot record it; without a key in its grace period. */
export function revokedIDs(registration: Registration, ledger: Ledger): ReadonlySet<string> {
  const live = new Set(liveKeys(ledger).map(({ keyID }) => keyID));
  const asked = [...registration.revokedKeyIDs].filter((keyID) => !live.has(keyID));
  return new Set([...asked, ...keysIn(ledger, 'Revoked').map(({ keyID }) => keyID)]);
}

function contentToWrite(
  situation: Situation,
  object: LtiRegistration,
  ledger: Ledger,
  secretName: string,
): DeliveryContent | undefined {
  const existing = situation.deliveries.get(secretName) ?? { kind: 'absent' };
  if (
    existing.kind === 'foreign' ||
    existing.kind === 'unreadable' ||
    (situation.recipient && isFault(situation.recipient))
  )
    return undefined;
  const ours = existing.kind === 'ours' ? existing : undefined;
  const active = activeKey(ledger);
  if (!active && !ours) return undefined;
  // The Secret was written from a newer ledger: an older one never overwrites it.
  if (ours && ours.serial > ledger.serial) return undefined;
  if (active) {
    // A signing key that cannot be decrypted is no reason to take the present key from the tool.
    if (situation.keyMaterial.get(active.keyID)?.opens !== true) return undefined;
    // A restored ledger may name a key that no replica serves yet.
    if (ours?.keyID !== active.keyID && !situation.observation.servedKeyIDs.has(active.keyID)) return undefined;
  }
  const content = contentOf(situation, object, ledger, secretName);
  return ours && holdsAlready(ours, content, situation) ? undefined : content;
}

function contentOf(situation: Situation, object: LtiRegistration, ledger: Ledger, secretName: string): DeliveryContent {
  const { labels = {}, annotations = {} } = object.spec.delivery?.metadata ?? {};
  const bundle = object.spec.delivery?.bundle?.name;
  const active = activeKey(ledger);
  return {
    secretName,
    ...(active ? { keyID: active.keyID } : {}),
    keyFiles: active ? wantedKeyFiles(object) : [],
    entries: publicFiles(situation, object, liveKeys(ledger), active),
    metadata: {
      labels: { ...labels, [registrationLabel]: ledger.registration },
      annotations: {
        ...annotations,
        ...(bundle === undefined ? {} : { [bundleAnnotation]: bundle }),
        [registrationLabel]: ledger.registration,
        [deliveryKeyIDAnnotation]: active?.keyID ?? '',
        [deliveryMetadataAnnotation]: metadataKeys({ labels, annotations }),
      },
    },
    serial: ledger.serial,
  };
}

/** Such as `labels.example.org/team annotations.example.org/contact`: removed from the Secret once they are no longer in the spec. */
function metadataKeys(metadata: DeliveryMetadata): string {
  return (['labels', 'annotations'] as const)
    .flatMap((kind) => Object.keys(metadata[kind]).map((key) => `${kind}.${key}`))
    .toSorted()
    .join(' ');
}

function holdsAlready(ours: Ours, content: DeliveryContent, { recipient }: Situation): boolean {
  const thumbprint = recipient && !isFault(recipient) ? recipient.thumbprint : undefined;
  const includes = (all: Readonly<Record<string, string>>, some: Readonly<Record<string, string>>): boolean =>
    Object.entries(some).every(([name, value]) => all[name] === value);
  return (
    ours.intact &&
    !ours.lastApplied &&
    ours.keyID === content.keyID &&
    isDeepStrictEqual(ours.keyFiles.toSorted(), content.keyFiles.toSorted()) &&
    (!content.keyFiles.includes('private.jwe') || ours.recipient === thumbprint) &&
    isDeepStrictEqual(ours.entries, content.entries) &&
    includes(ours.metadata.labels, content.metadata.labels) &&
    includes(ours.metadata.annotations, content.metadata.annotations)
  );
}

/**
 * A Secret that another one replaced is kept until the overlap ends, because Pods of the tool may still use it; if delivery was
 * turned off, it is deleted at once. It is deleted only in a decision that sees the new Secret, whose write may be refused.
 */
function leftoverEffects(situation: Situation, registration: Registration, ledger: Ledger): readonly Effect[] {
  const wanted = registration.deliverySecretName;
  const { keyID, leftovers } = deliveryState(situation, wanted);
  if (wanted !== undefined && keyID !== ledger.activeKeyID) return [];
  return leftovers
    .filter((name) => {
      if (situation.deliveries.get(name)?.kind !== 'ours') return false;
      if (wanted === undefined) return true;
      const leftAt = ledger.deliveries.find(({ secretName }) => secretName === name)?.leftAt;
      const until = leftAt === undefined ? Infinity : leftAt + publishedOverlap(registration, situation.limits);
      return until <= situation.now && !isClockSkewed(situation);
    })
    .map((secretName) => discardEffect(situation, secretName));
}
