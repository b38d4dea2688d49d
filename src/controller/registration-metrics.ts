import type { RegistrationConditionType } from '../api/conditions.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import { parseDuration, second } from '../domain/duration.ts';
import type { KeyState } from '../domain/key-state.ts';
import { isShownPublished } from '../domain/ltikeys.ts';
import type { Informer } from '../kube/informer.ts';
import { objectKey } from '../kube/objects.ts';
import type { ObjectSnapshot, OrphanMetrics, RegistrationMetrics, Trouble } from '../observability/object-metrics.ts';
import { awaitsRevocation, registrationOf } from './event-handlers.ts';

type Registrations = Pick<Informer<LtiRegistration>, 'list' | 'get' | 'isRead'>;
type Keys = Pick<Informer<LtiKey>, 'list' | 'byIndex'>;

/**
 * The status of each condition that needs no attention; any other is reported with its reason. `Ready` has a metric of its own,
 * and `Reconciling` never needs attention.
 */
const wellWhen = {
  Published: 'True',
  KeyMaterialAvailable: 'True',
  ActionRequired: 'False',
  RevocationEffective: 'True',
  Stalled: 'False',
} as const satisfies Partial<Record<RegistrationConditionType, string>>;

/** The registrations in the cache at the time of a scrape. */
export function registrationMetrics(registrations: Registrations, keys: Keys): ObjectSnapshot {
  const listed = registrations.list();
  const all = keys.list();
  return {
    registrations: {
      length: listed.length,
      *[Symbol.iterator]() {
        for (const object of listed) yield new Seen(object, keys);
      },
    },
    keysByState: keysByState(all),
    orphans: orphans(registrations, all),
  };
}

/** Getters, because each metric iterates over all registrations and reads one value of each. */
class Seen implements RegistrationMetrics {
  readonly #object: LtiRegistration;
  readonly #keys: Keys;

  constructor(object: LtiRegistration, keys: Keys) {
    this.#object = object;
    this.#keys = keys;
  }

  get namespace(): string {
    return this.#object.metadata.namespace ?? '';
  }

  get name(): string {
    return this.#object.metadata.name;
  }

  get ready(): boolean {
    return this.#object.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
  }

  get suspended(): boolean {
    return this.#object.spec.suspend;
  }

  get activeKeyActivatedAt(): Date | undefined {
    return date(this.#object.status?.activeKey?.activatedAt);
  }

  get nextRotationAt(): Date | undefined {
    return date(this.#object.status?.nextRotationTime);
  }

  get rotateAfterSeconds(): number | undefined {
    return seconds(this.#object.spec.rotateAfter);
  }

  get lastFetchAt(): Date | undefined {
    // A pasted key is fetched by no platform.
    if (this.#object.spec.keyDistribution === 'Manual') return undefined;
    return date(this.#object.status?.lastFetchTime) ?? new Date(0);
  }

  get troubles(): readonly Trouble[] {
    return troublesOf(this.#object, this.#keys);
  }
}

function troublesOf(object: LtiRegistration, keys: Keys): readonly Trouble[] {
  const troubles: Trouble[] = [];
  // The status may not report it yet.
  const unacted = awaitsRevocation(object, () => keys.byIndex('registration', objectKey(object)));
  if (unacted) troubles.push({ type: 'RevocationEffective', status: 'False', reason: 'RevokedKeyStillServed' });
  for (const { type, status, reason } of object.status?.conditions ?? []) {
    if (!isReported(type) || status === wellWhen[type] || (unacted && type === 'RevocationEffective')) continue;
    troubles.push({ type, status, reason });
  }
  return troubles;
}

function isReported(type: string): type is keyof typeof wellWhen {
  return Object.hasOwn(wellWhen, type);
}

function keysByState(keys: readonly LtiKey[]): ReadonlyMap<KeyState, number> {
  const counts = new Map<KeyState, number>();
  for (const { status } of keys) {
    if (status?.state) counts.set(status.state, (counts.get(status.state) ?? 0) + 1);
  }
  return counts;
}

function orphans(registrations: Registrations, keys: readonly LtiKey[]): readonly OrphanMetrics[] {
  const found = new Map<string, OrphanMetrics>();
  for (const key of keys) {
    const place = registrationOf(key);
    const { namespace = '' } = key.metadata;
    // Before a namespace has been read, all its keys would count as orphans.
    if (!isShownPublished(key) || !registrations.isRead(namespace) || registrations.get(place)) continue;
    const publishedKeys = (found.get(place)?.publishedKeys ?? 0) + 1;
    found.set(place, { namespace, name: key.spec.registrationRef.name, publishedKeys });
  }
  return [...found.values()];
}

/** Undefined for an invalid duration, which the condition SpecInvalid reports. */
function seconds(duration: string): number | undefined {
  try {
    return parseDuration(duration) / second;
  } catch {
    return undefined;
  }
}

function date(text: string | undefined): Date | undefined {
  return text === undefined ? undefined : new Date(text);
}
