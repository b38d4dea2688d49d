import { isJsonObject, parseJsonObject } from '../lib/json-object.ts';
import type { KubeObject, WatchEvent } from './objects.ts';
import { malformed, type Operation, refusal, toKubeObject } from './responses.ts';

/**
 * Parses the events of a watch, one JSON object per line. Throws ApiError for an `ERROR` event, and TransportError for a line
 * that is not an event, or is incomplete.
 */
export async function* watchEvents<T extends KubeObject>(
  operation: Operation,
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<WatchEvent<T>, void, undefined> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') yield watchEvent<T>(operation, line);
  }
  if (rest.trim() !== '') throw malformed(operation, 'ends within an event');
}

function watchEvent<T extends KubeObject>(operation: Operation, line: string): WatchEvent<T> {
  const { type, object } = parseJsonObject(line) ?? {};
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type, object: toKubeObject<T>(operation, object) };
    case 'BOOKMARK': {
      // the object of a bookmark has a resource version and no name
      const metadata = isJsonObject(object) ? object['metadata'] : undefined;
      if (!isJsonObject(metadata) || typeof metadata['resourceVersion'] !== 'string') {
        throw malformed(operation, 'has a bookmark without a resource version');
      }
      return { type, object: { metadata: { resourceVersion: metadata['resourceVersion'] } } };
    }
    case 'ERROR': {
      const status = isJsonObject(object) && typeof object['code'] === 'number' ? object['code'] : 500;
      throw refusal(operation, { status, body: JSON.stringify(object) });
    }
    default:
      throw malformed(operation, 'has a line that is not a watch event');
  }
}
