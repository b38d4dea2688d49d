import { Buffer } from 'node:buffer';
import { rotateRequestedAtAnnotation } from '../api/names.ts';
import type { LtiRegistration } from '../api/objects.ts';
import { fnv1a } from './checksum.ts';
import { type Duration, parseDuration } from './duration.ts';
import type { RotationWindow } from './rotation-window.ts';

/** What the rules need to know of an LtiRegistration, with the schema's defaults applied and durations parsed. */
export interface Registration {
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  readonly issuer: string;
  /** The product the platform runs; `Other` if unset. */
  readonly platform?: string;
  readonly keyDistribution: 'JWKSURL' | 'Manual';
  /** Bits of the RSA modulus. */
  readonly keySize: number;
  readonly rotateAfter: Duration;
  readonly activationDelay: Duration;
  readonly overlap: Duration;
  /** Without any, a rotation may happen at all times. */
  readonly rotationWindows?: readonly RotationWindow[];
  /** A rotation that is due waits no longer than this for a window. */
  readonly rotationWindowDeadline?: Duration;
  readonly rotationTrigger?: string;
  /** The annotation's value, or what stands for it: see {@link storableRequest}. */
  readonly rotateRequest?: string;
  readonly acknowledgedKeyID?: string;
  readonly revokedKeyIDs: ReadonlySet<string>;
  readonly suspend: boolean;
  readonly deletionPolicy: 'Retain' | 'Delete';
  readonly keyHistoryLimit: number;
  readonly deliverySecretName?: string;
}

/** The defaults repeat crds/ltiregistrations.yaml, for objects that were stored before a default was. */
export function readRegistration(object: LtiRegistration): Registration {
  const { metadata, spec } = object;
  const rotateRequest = metadata.annotations?.[rotateRequestedAtAnnotation];
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    generation: metadata.generation ?? 0,
    issuer: spec.issuer,
    platform: spec.platform ?? 'Other',
    keyDistribution: spec.keyDistribution ?? 'JWKSURL',
    keySize: spec.key?.size ?? 2048,
    rotateAfter: parseDuration(spec.rotateAfter ?? '90d'),
    activationDelay: parseDuration(spec.activationDelay ?? '24h'),
    overlap: parseDuration(spec.overlap ?? '48h'),
    rotationWindows: (spec.rotationWindows ?? []).map(({ schedule, duration, timeZone }) => ({
      schedule,
      duration: parseDuration(duration),
      timeZone: timeZone ?? 'UTC',
    })),
    rotationWindowDeadline: parseDuration(spec.rotationWindowDeadline ?? '7d'),
    ...(spec.rotationTrigger ? { rotationTrigger: spec.rotationTrigger } : {}),
    ...(rotateRequest ? { rotateRequest: storableRequest(rotateRequest) } : {}),
    ...(spec.acknowledgedKeyID ? { acknowledgedKeyID: spec.acknowledgedKeyID } : {}),
    revokedKeyIDs: new Set(spec.revokedKeyIDs),
    suspend: spec.suspend ?? false,
    deletionPolicy: spec.deletionPolicy ?? 'Retain',
    keyHistoryLimit: spec.keyHistoryLimit ?? 3,
    ...(spec.delivery ? { deliverySecretName: spec.delivery.secretName } : {}),
  };
}

/** What status.observedRotateRequest and its line in `kubectl describe` can hold. */
const longestRequest = 256;
const oneLine = /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u;

/**
 * An annotation holds any text of up to 256 KiB, a status does not. A value that does not fit is known by its beginning,
 * its length and a checksum, so that every change of it is still one request. Gives back what it once gave.
 */
export function storableRequest(value: string): string {
  if (Buffer.byteLength(value) <= longestRequest && oneLine.test(value)) return value;
  const beginning = value.slice(0, 200).replaceAll(/[^ -~]/g, '?');
  return `${beginning}… (${value.length} characters, FNV-1a ${fnv1a(value).toString(16).padStart(8, '0')})`;
}
