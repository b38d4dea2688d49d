import { Buffer } from 'node:buffer';
import { acknowledgedRevocationsAnnotation, rotateRequestedAtAnnotation } from '../api/names.ts';
import type { LtiRegistration } from '../api/objects.ts';
import { type Duration, parseDuration } from './duration.ts';
import { fnv1a } from './fnv1a.ts';
import type { RotationWindow } from './timing.ts';

/** The fields of an LtiRegistration that the rules need, with the schema's defaults applied and durations parsed. */
export interface Registration {
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  /** Absent until the platform is known; never changed after that. */
  readonly issuer?: string;
  /** Whether the spec has what the platform assigns. */
  readonly hasClientID: boolean;
  readonly hasTokenEndpoint: boolean;
  /** The product that the platform runs. */
  readonly platform: string;
  readonly keyDistribution: 'JWKSURL' | 'Manual';
  /** Bits of the RSA modulus. */
  readonly keySize: number;
  readonly rotateAfter: Duration;
  readonly activationDelay: Duration;
  /** Whether a next key that is pasted nowhere also waits until a client has fetched it. */
  readonly activation: 'AfterDelay' | 'AfterFetch';
  readonly overlap: Duration;
  /** Without any, a rotation may happen at any time. */
  readonly rotationWindows: readonly RotationWindow[];
  /** A rotation that is due waits no longer than this for a window. */
  readonly rotationWindowDeadline: Duration;
  readonly rotationTrigger?: string;
  /** The value of the annotation, or its substitute: see {@link storableRequest}. */
  readonly rotateRequest?: string;
  readonly acknowledgedKeyID?: string;
  readonly revokedKeyIDs: ReadonlySet<string>;
  /** Revoked keys that the platform no longer accepts, as a user found out. */
  readonly acknowledgedRevocations: ReadonlySet<string>;
  readonly suspend: boolean;
  readonly deletionPolicy: 'Retain' | 'Delete';
  readonly keyHistoryLimit: number;
  readonly deliverySecretName?: string;
}

/** The defaults repeat crds/ltiregistrations.yaml, for objects that were stored before the schema had them. */
export function readRegistration(object: LtiRegistration): Registration {
  const { metadata, spec } = object;
  const secretName = deliverySecretName(object);
  const rotateRequest = metadata.annotations?.[rotateRequestedAtAnnotation];
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    generation: metadata.generation ?? 0,
    ...(spec.issuer === undefined ? {} : { issuer: spec.issuer }),
    hasClientID: spec.clientID !== undefined,
    hasTokenEndpoint: spec.tokenEndpoint !== undefined,
    platform: spec.platform ?? 'Other',
    keyDistribution: spec.keyDistribution ?? 'JWKSURL',
    keySize: spec.key?.size ?? 2048,
    rotateAfter: parseDuration(spec.rotateAfter ?? '90d'),
    activationDelay: parseDuration(spec.activationDelay ?? '24h'),
    activation: spec.activation ?? 'AfterDelay',
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
    acknowledgedRevocations: new Set(metadata.annotations?.[acknowledgedRevocationsAnnotation]?.split(' ')),
    suspend: spec.suspend ?? false,
    deletionPolicy: spec.deletionPolicy ?? 'Retain',
    keyHistoryLimit: spec.keyHistoryLimit ?? 3,
    ...(secretName === undefined ? {} : { deliverySecretName: secretName }),
  };
}

/** The Secret that the tool mounts. A bundle has numbered ones; the registration's name alone selects one of them. */
export function deliverySecretName({ metadata, spec }: Pick<LtiRegistration, 'metadata' | 'spec'>): string | undefined {
  const { secretName, bundle } = spec.delivery ?? {};
  if (!bundle) return secretName;
  const hash = fnv1a(metadata.name);
  // The low bits alone depend on the low bits of each byte.
  return `${bundle.name}-${((hash ^ (hash >>> 16)) >>> 0) % (bundle.shards ?? 1)}`;
}

/** The limits of status.observedRotateRequest, which is one line in `kubectl describe`. */
const maximumRequestBytes = 256;
const oneLine = /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u;

/**
 * An annotation may be any text of up to 256 KiB, a status field may not. A value that does not fit is replaced by its beginning,
 * its length and a checksum, so that every change of it is still one request. Idempotent.
 */
export function storableRequest(value: string): string {
  if (Buffer.byteLength(value) <= maximumRequestBytes && oneLine.test(value)) return value;
  const beginning = value.slice(0, 200).replaceAll(/[^ -~]/g, '?');
  return `${beginning}… (${value.length} characters, FNV-1a ${fnv1a(value).toString(16).padStart(8, '0')})`;
}
