import { startControlPlane } from '../dev/control-plane/start.ts';
import { controlPlane, shareControlPlane } from './apiserver/bed.ts';

/** Mocha runs these once, around all test files: see test/apiserver/bed.ts. */
export async function mochaGlobalSetup(): Promise<void> {
  shareControlPlane(await startControlPlane({ controllerManager: true, auditLog: true }));
}

export async function mochaGlobalTeardown(): Promise<void> {
  await controlPlane().stop();
  shareControlPlane(undefined);
}
