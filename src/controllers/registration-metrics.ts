import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import type { KeyState } from '../domain/jwk.ts';
import { parseDuration, second } from '../domain/duration.ts';
import type { Collection } from '../kube/collection.ts';
import { objectKey } from '../kube/objects.ts';
import type { RegistrationMetrics } from '../observability/object-metrics.ts';

/** What metrics say of each registration in the cache, at the moment of a scrape. */
export function* registrationMetrics(
  registrations: Pick<Collection<LtiRegistration>, 'list'>,
  keys: Pick<Collection<LtiKey>, 'byIndex'>,
): Generator<RegistrationMetrics> {
  for (const object of registrations.list()) {
    const { metadata, spec, status } = object;
    const keysByState: Partial<Record<KeyState, number>> = {};
    for (const { status: key } of keys.byIndex('registration', objectKey(object))) {
      if (key?.state) keysByState[key.state] = (keysByState[key.state] ?? 0) + 1;
    }
    yield {
      namespace: metadata.namespace ?? '',
      name: metadata.name,
      ready: status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false,
      activeKeyCreatedAt: date(status?.activeKey?.createdAt),
      activeKeyActivatedAt: date(status?.activeKey?.activatedAt),
      nextRotationAt: date(status?.nextRotationTime),
      rotateAfterSeconds: parseDuration(spec.rotateAfter) / second,
      keysByState,
      conditions: status?.conditions ?? [],
    };
  }
}

function date(text: string | undefined): Date | undefined {
  return text === undefined ? undefined : new Date(text);
}
