import { ltiRegistrations } from '../api/names.ts';
import type { LtiRegistration } from '../api/objects.ts';
import { type Duration, second } from '../domain/duration.ts';
import { ApiError, TransportError } from '../kube/errors.ts';
import type { KubeClient } from '../kube/client.ts';
import { sleep } from '../lib/clock.ts';
import type { Terminal } from './terminal.ts';

const retryAfter: Duration = second;
const watchSeconds = 300;

export interface Watched {
  /** Every registration that was there when the list was read; again after the watch was interrupted. */
  readonly listed: (registrations: readonly LtiRegistration[]) => void;
  readonly changed: (registration: LtiRegistration) => void;
  readonly deleted: (registration: LtiRegistration) => void;
}

/** Lists and watches registrations until the user interrupts the command. Rejects if the API server refuses. */
export async function watchRegistrations(
  client: KubeClient,
  selection: { readonly namespace: string | undefined; readonly name: string | undefined },
  { listed, changed, deleted }: Watched,
  { clock, signal, err }: Pick<Terminal, 'clock' | 'signal' | 'err'>,
): Promise<void> {
  const { namespace, name } = selection;
  const isWanted = ({ metadata }: LtiRegistration): boolean => name === undefined || metadata.name === name;
  while (!signal.aborted) {
    try {
      const list = await client.list<LtiRegistration>(ltiRegistrations, { namespace }, signal);
      listed(list.items.filter(isWanted));
      let resourceVersion = list.metadata.resourceVersion;
      for (;;) {
        const from = { namespace, resourceVersion, timeoutSeconds: watchSeconds };
        for await (const event of await client.watch<LtiRegistration>(ltiRegistrations, from, signal)) {
          resourceVersion = event.object.metadata.resourceVersion ?? resourceVersion;
          if (event.type === 'BOOKMARK' || !isWanted(event.object)) continue;
          if (event.type === 'DELETED') deleted(event.object);
          else changed(event.object);
        }
        if (signal.aborted) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!isPassing(error)) throw error;
      if (!isExpired(error)) err(`${error.message}; retrying\n`);
      await sleep(clock, retryAfter, signal);
    }
  }
}

function isPassing(error: unknown): error is Error {
  return error instanceof TransportError || isExpired(error) || (error instanceof ApiError && error.status >= 429);
}

/** The server no longer has the resource version that the watch continues from. */
function isExpired(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 410;
}
