import { isDeepStrictEqual } from 'node:util';
import { deliveryKeyIDAnnotation, registrationLabel } from '../api/names.ts';
import type { LtiRegistration } from '../api/objects.ts';
import type { DeliveryContent, Effect } from './effects.ts';
import { isClockSkewed } from './gates.ts';
import { activeKey, keysIn, type Ledger, liveKeys } from './ledger.ts';
import type { Registration } from './registration.ts';
import { type DeliverySecret, type DeliveryState, type Fault, isFault, type Situation } from './situation.ts';
import { publishedOverlap } from './timing.ts';

/** What becomes of the Secrets that a tool mounts. One that is not the operator's is never touched. */

type Ours = Extract<DeliverySecret, { kind: 'ours' }>;

export interface DeliveryEffects {
  /** Takes revoked keys away from tools: it waits for no other write. */
  readonly urgent: readonly Effect[];
  readonly rest: readonly Effect[];
}

/** What the lifecycle depends on. */
export function deliveryState({ deliveries }: Situation, wanted: string | undefined): DeliveryState {
  const secret = wanted === undefined ? undefined : deliveries.get(wanted);
  const keyID = secret?.kind === 'ours' ? secret.keyID : undefined;
  const leftovers = [...deliveries].flatMap(([name, { kind }]) => (name !== wanted && kind === 'ours' ? [name] : []));
  return { leftovers, ...(keyID === undefined ? {} : { keyID }) };
}

/** Why nothing can be delivered. */
export function deliveryFault({ deliveries, recipient }: Situation, wanted: string | undefined): Fault | undefined {
  if (wanted === undefined) return undefined;
  const secret = deliveries.get(wanted);
  if (secret?.kind === 'unusable') return secret.fault;
  return recipient && isFault(recipient) ? recipient : undefined;
}

/** Makes the wanted Secret hold the signing key of `ledger`, and removes earlier ones when nobody needs them any more. */
export function deliveryEffects(
  situation: Situation,
  object: LtiRegistration,
  registration: Registration,
  ledger: Ledger,
): DeliveryEffects {
  const wanted = registration.deliverySecretName;
  const mayWrite = wanted !== undefined && !situation.refused.has(`deliver ${wanted}`);
  const content = mayWrite ? contentToWrite(situation, object, ledger, wanted) : undefined;
  const replaced = content?.keyID === undefined ? undefined : wanted;
  const revoked = revokedIDs(registration, ledger);
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

/** Takes private halves out of Secrets; one that cannot be written is removed instead, for an immutable Secret can be. */
export function stripEffects(
  { deliveries, refused }: Situation,
  leaves: (secretName: string, keyID: string) => boolean,
): readonly Effect[] {
  return [...deliveries].flatMap(([secretName, secret]): Effect[] => {
    if (secret.kind !== 'ours' || secret.keyID === undefined || !leaves(secretName, secret.keyID)) return [];
    if (refused.has(`deliver ${secretName}`)) return [{ kind: 'removeDelivery', secretName }];
    const { kid: _, ...entries } = secret.entries;
    const metadata = { labels: {}, annotations: { [deliveryKeyIDAnnotation]: '' } };
    return [{ kind: 'deliver', content: { secretName, entries, metadata, serial: secret.serial } }];
  });
}

/** Those that nobody may go on signing with, whatever the ledger can record of it. A key within its grace is not among them. */
function revokedIDs(registration: Registration, ledger: Ledger): ReadonlySet<string> {
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
  if (existing.kind === 'unusable' || (situation.recipient && isFault(situation.recipient))) return undefined;
  const ours = existing.kind === 'ours' ? existing : undefined;
  const active = activeKey(ledger);
  if (!active && !ours) return undefined;
  // Never back: it was written from a newer ledger.
  if (ours && ours.serial > ledger.serial) return undefined;
  if (active) {
    // A signing key that does not open is no reason to take the one away that the tool has.
    if (situation.keyMaterial.get(active.keyID)?.opens !== true) return undefined;
    // A ledger that was restored may name a key that nobody serves yet.
    if (ours?.keyID !== active.keyID && !situation.observation.servedKeyIDs.has(active.keyID)) return undefined;
  }
  const content = contentOf(situation, object, ledger, secretName, active?.keyID);
  return ours && holdsAlready(ours, content, situation) ? undefined : content;
}

function contentOf(
  { jwksURL }: Situation,
  object: LtiRegistration,
  ledger: Ledger,
  secretName: string,
  keyID: string | undefined,
): DeliveryContent {
  const { labels = {}, annotations = {} } = object.spec.delivery?.metadata ?? {};
  return {
    secretName,
    ...(keyID === undefined ? {} : { keyID }),
    entries: {
      'jwks.json': JSON.stringify({ keys: liveKeys(ledger).map((key) => key.publicJWK) }),
      'registration.json': JSON.stringify(registrationEntry(object, jwksURL), undefined, 2),
      ...(keyID === undefined ? {} : { kid: keyID }),
    },
    metadata: {
      labels: { ...labels, [registrationLabel]: ledger.registration },
      annotations: {
        ...annotations,
        [registrationLabel]: ledger.registration,
        [deliveryKeyIDAnnotation]: keyID ?? '',
      },
    },
    serial: ledger.serial,
  };
}

function holdsAlready(ours: Ours, content: DeliveryContent, { recipient }: Situation): boolean {
  const thumbprint = recipient && !isFault(recipient) ? recipient.thumbprint : undefined;
  const includes = (all: Readonly<Record<string, string>>, some: Readonly<Record<string, string>>): boolean =>
    Object.entries(some).every(([name, value]) => all[name] === value);
  return (
    ours.intact &&
    !ours.lastApplied &&
    ours.keyID === content.keyID &&
    (content.keyID === undefined || ours.recipient === thumbprint) &&
    isDeepStrictEqual(ours.entries, content.entries) &&
    includes(ours.metadata.labels, content.metadata.labels) &&
    includes(ours.metadata.annotations, content.metadata.annotations)
  );
}

/**
 * A Secret that another one replaced stays until the overlap is over, for Pods of the tool may still need it; where delivery
 * was stopped, it goes at once. It goes only after the tool has the new one: a later decision sees it there, for its write may be refused.
 */
function leftoverEffects(situation: Situation, registration: Registration, ledger: Ledger): readonly Effect[] {
  const wanted = registration.deliverySecretName;
  const { keyID, leftovers } = deliveryState(situation, wanted);
  if (wanted !== undefined && keyID !== ledger.activeKeyID) return [];
  return leftovers
    .filter((name) => {
      if (wanted === undefined) return true;
      const leftAt = ledger.deliveries.find(({ secretName }) => secretName === name)?.leftAt;
      const until = leftAt === undefined ? Infinity : leftAt + publishedOverlap(registration, situation.limits);
      return until <= situation.now && !isClockSkewed(situation);
    })
    .map((secretName): Effect => ({ kind: 'removeDelivery', secretName }));
}

/** The registration under the standard's names (OpenID Connect Discovery 1.0 §3, RFC 7591), as tool libraries want it. */
function registrationEntry({ spec }: LtiRegistration, jwksURL: string | undefined): object {
  return {
    issuer: spec.issuer,
    client_id: spec.clientID,
    authorization_endpoint: spec.authorizationEndpoint,
    token_endpoint: spec.tokenEndpoint,
    token_audience: spec.tokenAudience ?? spec.tokenEndpoint,
    jwks_uri: spec.jwksURI,
    deployment_ids: spec.deploymentIDs,
    tool_jwks_uri: jwksURL,
  };
}
