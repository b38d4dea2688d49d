import { startControlPlane } from '../dev/control-plane/start.ts';
import { controlPlane, shareControlPlane } from './fixtures/control-plane.ts';
import { lastLogLines } from './fixtures/operator.ts';

/** Mocha runs these once, around all test files: see test/fixtures/control-plane.ts. */
export async function mochaGlobalSetup(): Promise<void> {
  shareControlPlane(await startControlPlane({ controllerManager: true, auditLog: true }));
}

export async function mochaGlobalTeardown(): Promise<void> {
  await controlPlane().stop();
  shareControlPlane(undefined);
}

export const mochaHooks = {
  afterEach(this: Mocha.Context): void {
    if (this.currentTest?.state === 'failed') console.log(lastLogLines().join('\n'));
  },
};
