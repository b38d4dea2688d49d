import { startControlPlane } from '../dev/control-plane/start.ts';
import { controlPlane, shareControlPlane } from './apiserver/control-plane-fixture.ts';

/** Mocha runs these once, around all test files: see test/apiserver/control-plane-fixture.ts. */
export async function mochaGlobalSetup(): Promise<void> {
  shareControlPlane(await startControlPlane({ controllerManager: true, auditLog: true }));
}

export async function mochaGlobalTeardown(): Promise<void> {
  await controlPlane().stop();
  shareControlPlane(undefined);
}
