/** The publisher's word about the publish directory: the file that says when and for which namespaces it was current. */
export interface Heartbeat {
  /** RFC 3339: the directory held what the API server has. */
  readonly syncedAt: string;
  /**
   * Namespaces that the publisher could not read since it started. What is in the directory for them is of an earlier life; what
   * is not there may exist. The document of all namespaces is not written then.
   */
  readonly unread: readonly string[];
}

/** No document has this name. */
export const heartbeatFile = 'sync.json';

export function formatHeartbeat({ syncedAt, unread }: Heartbeat): string {
  return JSON.stringify({ syncedAt, ...(unread.length > 0 && { unread }) });
}

/** `undefined` for anything that is not a whole heartbeat. */
export function parseHeartbeat(text: string): Heartbeat | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || !('syncedAt' in value)) return undefined;
  const { syncedAt, unread = [] } = value as { syncedAt: unknown; unread?: unknown };
  if (typeof syncedAt !== 'string' || Number.isNaN(Date.parse(syncedAt))) return undefined;
  if (!Array.isArray(unread) || !unread.every((namespace) => typeof namespace === 'string')) return undefined;
  return { syncedAt, unread };
}
