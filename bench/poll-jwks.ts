import { setTimeout as wait } from 'node:timers/promises';
import { registrationPath } from '../src/api/names.ts';

const pollMs = 200;

/** Fetches one key set again and again, as a platform does, until it is stopped. */
export function pollJwks(base: string, namespace: string): { stop(): Promise<{ asked: number; failed: number }> } {
  const over = new AbortController();
  let [asked, failed] = [0, 0];
  const polling = (async () => {
    while (!over.signal.aborted) {
      const response = await fetch(base + registrationPath(namespace, 'platform-1')).catch(() => undefined);
      await response?.body?.cancel();
      asked += 1;
      if (response?.status !== 200) failed += 1;
      await wait(pollMs);
    }
  })();
  return {
    async stop() {
      over.abort();
      await polling;
      return { asked, failed };
    },
  };
}
