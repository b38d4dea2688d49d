import type { Dashboard } from './dashboard.ts';
import { fleet } from './fleet.ts';
import { registration } from './registration.ts';

/** By the names of their files in deploy/monitoring/dashboards and docs/images. */
export const dashboards: Readonly<Record<string, Dashboard>> = { fleet, registration };
