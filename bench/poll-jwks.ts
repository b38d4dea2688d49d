import { setTimeout as wait } from 'node:timers/promises';
import { registrationPath } from '../src/api/names.ts';

const pollMs = 200;

export interface JwksPolls {
  readonly asked: number;
  /** Without a response of status 200. */
  readonly failed: number;
}

/** Fetches one key set repeatedly, as a platform does, until it is stopped; a fetch while the server `isDown` does not count. */
export function pollJwks(
  base: string,
  namespace: string,
  isDown: () => boolean = () => false,
): { stop(): Promise<JwksPolls> } {
  const over = new AbortController();
  let [asked, failed] = [0, 0];
  const polling = (async () => {
    while (!over.signal.aborted) {
      const wasDown = isDown();
      const response = await fetch(base + registrationPath(namespace, 'platform-1')).catch(() => undefined);
      await response?.body?.cancel();
      await wait(pollMs);
      if (wasDown || isDown()) continue;
      asked += 1;
      if (response?.status !== 200) failed += 1;
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
