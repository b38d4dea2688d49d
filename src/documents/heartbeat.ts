import { parseJsonObject } from '../lib/json-object.ts';

/** The publisher's statement about the publish directory: when, and for which namespaces, it was current. */
export interface Heartbeat {
  /** RFC 3339: when the directory held what the API server has. */
  readonly syncedAt: string;
  /**
   * Namespaces that the publisher could not read since it started. Their documents in the directory are from a previous run, and
   * others may be missing. The document of all namespaces is not written meanwhile.
   */
  readonly unread: readonly string[];
}

/** Not the name of a document. */
export const heartbeatFile = 'sync.json';

export function formatHeartbeat({ syncedAt, unread }: Heartbeat): string {
  return JSON.stringify({ syncedAt, ...(unread.length > 0 && { unread }) });
}

/** `undefined` for anything but a complete heartbeat. */
export function parseHeartbeat(text: string): Heartbeat | undefined {
  const { syncedAt, unread = [] } = parseJsonObject(text) ?? {};
  if (typeof syncedAt !== 'string' || Number.isNaN(Date.parse(syncedAt))) return undefined;
  if (!Array.isArray(unread) || !unread.every((namespace) => typeof namespace === 'string')) return undefined;
  return { syncedAt, unread };
}
