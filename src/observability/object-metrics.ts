import type { Registry } from 'prom-client';

import type { KeyState } from '../domain/jwk.ts';
import { keyStates } from '../domain/key-state.ts';
import { computedGauge, epochSeconds } from './instruments.ts';
import { registrationTable } from './registration-table.ts';

/** What is said of one registration. */
export interface RegistrationMetrics {
  readonly namespace: string;
  readonly name: string;
  readonly ready: boolean;
  readonly activeKeyCreatedAt?: Date | undefined;
  readonly activeKeyActivatedAt?: Date | undefined;
  readonly nextRotationAt?: Date | undefined;
  readonly rotateAfterSeconds?: number | undefined;
  readonly keysByState: Readonly<Partial<Record<KeyState, number>>>;
  readonly conditions: readonly { readonly type: string; readonly status: string }[];
}

const statuses = ['True', 'False', 'Unknown'];

/** Series for each registration that `source` gives at the moment of a scrape, and for no other. */
export function objectMetrics(registry: Registry, source: () => Iterable<RegistrationMetrics>): void {
  const perRegistration = (
    row: { name: string; help: string; labels: readonly ('namespace' | 'registration')[] },
    value: (of: RegistrationMetrics) => number | undefined,
  ): void => computedGauge(registry, row, () => Array.from(source(), (of) => [labels(of), value(of)] as const));

  perRegistration(registrationTable.ready, ({ ready }) => (ready ? 1 : 0));
  perRegistration(registrationTable.keyCreated, (of) => epochSeconds(of.activeKeyCreatedAt));
  perRegistration(registrationTable.keyActivated, (of) => epochSeconds(of.activeKeyActivatedAt));
  perRegistration(registrationTable.nextRotation, (of) => epochSeconds(of.nextRotationAt));
  perRegistration(registrationTable.rotateAfter, (of) => of.rotateAfterSeconds);
  computedGauge(registry, registrationTable.keys, function* () {
    for (const of of source()) {
      for (const state of keyStates) yield [{ ...labels(of), state }, of.keysByState[state] ?? 0] as const;
    }
  });
  computedGauge(registry, registrationTable.condition, function* () {
    for (const of of source()) {
      for (const { type, status: actual } of of.conditions) {
        for (const status of statuses) yield [{ ...labels(of), type, status }, status === actual ? 1 : 0] as const;
      }
    }
  });
}

function labels({ namespace, name }: RegistrationMetrics): { namespace: string; registration: string } {
  return { namespace, registration: name };
}
