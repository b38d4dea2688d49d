import { startControlPlane } from '../dev/control-plane/start.ts';
import { controlPlane, shareControlPlane } from './fixtures/control-plane.ts';

/** Mocha runs these once, around all test files: see test/fixtures/control-plane.ts. */
export async function mochaGlobalSetup(): Promise<void> {
  shareControlPlane(await startControlPlane({ controllerManager: true, auditLog: true }));
}

export async function mochaGlobalTeardown(): Promise<void> {
  await controlPlane().stop();
  shareControlPlane(undefined);
}
