import { createHash } from 'node:crypto';
import { bundleAnnotation, bundleMemberAnnotation, deliverySecretType, registrationLabel } from '../../api/names.ts';
import { deliveryFileNames } from '../../domain/delivery-files.ts';
import type { Secret } from '../../kube/objects.ts';
import { parseJsonObject } from '../../lib/json-object.ts';
import { withoutLastApplied } from './ledger-secret.ts';

/**
 * A bundle is one Secret with the deliveries of several registrations: entries such as `canvas.private.jwk`, and for each
 * registration an annotation with those of a delivery Secret. A member is one registration's part, as a Secret of its own.
 */

type Texts = Readonly<Record<string, string>>;

export function isBundle({ type, metadata }: Secret): boolean {
  return type === deliverySecretType && metadata.annotations?.[bundleAnnotation] !== undefined;
}

/** `undefined` if the bundle has nothing of the registration. Its resourceVersion changes with the member alone. */
export function memberOf(bundle: Secret, registration: string): Secret | undefined {
  const { name, namespace, annotations = {} } = bundle.metadata;
  const stored = annotations[bundleMemberAnnotation(registration)];
  const data = Object.fromEntries(
    deliveryFileNames.flatMap((file) => {
      const value = bundle.data?.[`${registration}.${file}`];
      return value === undefined ? [] : [[file, value]];
    }),
  );
  if (stored === undefined && Object.keys(data).length === 0) return undefined;
  const bare = withoutLastApplied(bundle);
  const copied = Object.entries(annotations).filter(
    ([key]) => bare !== bundle && !(key in (bare.metadata.annotations ?? {})),
  );
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: deliverySecretType,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      resourceVersion: versionOf(stored, data),
      labels: { [registrationLabel]: registration },
      annotations: {
        ...parsed(stored),
        ...Object.fromEntries(copied),
        [registrationLabel]: registration,
        [bundleAnnotation]: annotations[bundleAnnotation] ?? '',
      },
    },
    data,
  };
}

/** The bundle with this member in place of the present one. Entries that are no file of any registration are dropped. */
export function withMember(bundle: Secret | undefined, member: Secret): Secret {
  const {
    [registrationLabel]: registration = '',
    [bundleAnnotation]: name = '',
    ...own
  } = member.metadata.annotations ?? {};
  const others = bundle && withoutMember(bundle, registration);
  const entries = Object.entries(member.data ?? {}).map(([file, value]) => [`${registration}.${file}`, value]);
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: deliverySecretType,
    metadata: {
      ...(others?.metadata ?? { name: member.metadata.name, namespace: member.metadata.namespace ?? '' }),
      labels: { ...others?.metadata.labels, [bundleAnnotation]: name },
      annotations: {
        ...others?.metadata.annotations,
        [bundleAnnotation]: name,
        [bundleMemberAnnotation(registration)]: JSON.stringify(own),
      },
    },
    data: { ...others?.data, ...Object.fromEntries(entries) },
  };
}

export function withoutMember(bundle: Secret, registration: string): Secret {
  const { metadata, ...rest } = withoutLastApplied(bundle);
  const { [bundleMemberAnnotation(registration)]: _, ...annotations } = metadata.annotations ?? {};
  const kept = entriesOf(bundle).flatMap(([owner, file, value]) =>
    owner === registration ? [] : [[`${owner}.${file}`, value]],
  );
  return { ...rest, metadata: { ...metadata, annotations }, data: Object.fromEntries(kept) };
}

export function hasMembers(bundle: Secret): boolean {
  const annotations = Object.keys(bundle.metadata.annotations ?? {});
  return entriesOf(bundle).length > 0 || annotations.some((key) => key.startsWith(bundleMemberAnnotation('')));
}

/** Kubernetes allows 1 MiB of data and 256 KiB of annotations. The rest is for what present members get in a rotation. */
const roomForData = 768 * 1024;
const roomForAnnotations = 192 * 1024;

export function isOverfull({ data = {}, metadata }: Secret): boolean {
  const total = (texts: Texts): number => Object.values(texts).reduce((sum, { length }) => sum + length, 0);
  return (total(data) * 3) / 4 > roomForData || total(metadata.annotations ?? {}) > roomForAnnotations;
}

/** Owner, file, value. No file name ends in another one after a dot, so each entry has one owner, although names have dots. */
function entriesOf({ data = {} }: Secret): readonly (readonly [owner: string, file: string, value: string])[] {
  return Object.entries(data).flatMap(([entry, value]) => {
    const file = deliveryFileNames.find((name) => entry.endsWith(`.${name}`) && entry.length > name.length + 1);
    return file === undefined ? [] : [[entry.slice(0, -file.length - 1), file, value] as const];
  });
}

function versionOf(annotation: string | undefined, data: Texts): string {
  const files = Object.keys(data).toSorted();
  const content = JSON.stringify([annotation ?? null, files.map((name) => [name, data[name]])]);
  return createHash('sha256').update(content).digest('base64url');
}

function parsed(text: string | undefined): Texts {
  // If it was edited, the member lacks the proof of its private key, and is written again.
  const entries = Object.entries(parseJsonObject(text ?? '{}') ?? {});
  return Object.fromEntries(entries.flatMap(([key, each]) => (typeof each === 'string' ? [[key, each]] : [])));
}
