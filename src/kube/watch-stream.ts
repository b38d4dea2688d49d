import type { KubeObject, WatchEvent } from './objects.ts';
import { type Operation, isRecord, malformed, parseObject, refusal, toKubeObject } from './responses.ts';

/**
 * The events of a watch: one JSON object per line. Throws ApiError for an `ERROR` event, TransportError for a line that
 * is no event, the last one included if it was cut off.
 */
export async function* watchEvents<T extends KubeObject>(
  operation: Operation,
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<WatchEvent<T>, void, undefined> {
  const decoder = new TextDecoder();
  let pending: string[] = [];
  for await (const chunk of body) {
    const lines = decoder.decode(chunk, { stream: true }).split('\n');
    for (const [position, line] of lines.entries()) {
      pending.push(line);
      if (position === lines.length - 1) break;
      const event = pending.join('');
      pending = [];
      if (event.trim() !== '') yield watchEvent<T>(operation, event);
    }
  }
  if (pending.join('').trim() !== '') throw malformed(operation, 'broke off within an event');
}

function watchEvent<T extends KubeObject>(operation: Operation, line: string): WatchEvent<T> {
  const { type, object } = parseObject(line) ?? {};
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type, object: toKubeObject<T>(operation, object) };
    case 'BOOKMARK': {
      // a bookmark's object has a resource version and no name
      const metadata = isRecord(object) ? object['metadata'] : undefined;
      if (!isRecord(metadata) || typeof metadata['resourceVersion'] !== 'string') {
        throw malformed(operation, 'has a bookmark without resource version');
      }
      return { type, object: { metadata: { resourceVersion: metadata['resourceVersion'] } } };
    }
    case 'ERROR': {
      const status = isRecord(object) && typeof object['code'] === 'number' ? object['code'] : 500;
      throw refusal(operation, { status, body: JSON.stringify(object) });
    }
    default:
      throw malformed(operation, 'has a line that is no watch event');
  }
}
