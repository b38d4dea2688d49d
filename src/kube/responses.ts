import { type Duration, second } from '../domain/duration.ts';
import { quotesSecret } from '../domain/secret-quotes.ts';
import { isJsonObject, parseJsonObject } from '../lib/json-object.ts';
import { ApiError, longestMessage, TransportError } from './errors.ts';
import type { KubeList, KubeObject, ResourceType, Secret } from './objects.ts';

export const methods = {
  get: 'GET',
  list: 'GET',
  watch: 'GET',
  create: 'POST',
  replace: 'PUT',
  'replace status of': 'PUT',
  delete: 'DELETE',
} as const;

const longestQuote = 1000;

/** What a request does, as errors describe it. */
export interface Operation {
  readonly verb: keyof typeof methods;
  readonly type: ResourceType;
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  /** The object to write or delete. Errors never quote it. */
  readonly object?: KubeObject | undefined;
}

export function describe(operation: Operation): string {
  const place = [operation.namespace, operation.name].filter(Boolean).join('/');
  return [operation.verb, operation.type.plural, place].filter(Boolean).join(' ');
}

/** Makes the error for an answer with a status of 300 and up, or for the `ERROR` event of a watch. */
export function refusal(
  refused: Operation,
  response: { readonly status: number; readonly body: string; readonly retryAfter?: string | undefined },
): ApiError {
  const status = parseJsonObject(response.body);
  const { reason, message, details } = status?.['kind'] === 'Status' ? status : {};
  const serverMessage = typeof message === 'string' && message !== '' ? quotable(message, refused) : undefined;
  const known = typeof reason === 'string' ? reason : 'Unknown';
  const code = known === 'Unknown' ? response.status : `${response.status} ${known}`;
  const because = serverMessage === undefined ? '' : `: ${serverMessage}`;
  return new ApiError(`${describe(refused)}: ${code}${because}`, {
    status: response.status,
    reason: known,
    serverMessage: serverMessage?.slice(0, longestMessage).toWellFormed(),
    missing: response.status === 404 ? missing(refused, details) : undefined,
    retryAfter: retryAfter(response.retryAfter),
  });
}

/**
 * A message of the API server on one line, cut if it is long. Validation and admission messages quote values, so one about a
 * refused write of a Secret is omitted if it may quote a value; that of a quota or a policy is what the user needs.
 */
function quotable(message: string, { verb, type, object }: Operation): string {
  const quote = message.slice(0, longestQuote).toWellFormed();
  const writesSecret = methods[verb] !== 'GET' && type.plural === 'secrets' && type.group === '';
  const quotes = writesSecret ? quotesSecret(quote, object && ((object as Secret).data ?? {})) : undefined;
  if (quotes !== undefined) return `the server's message is omitted, because it ${quotes} a value of the Secret`;
  return quote.replaceAll(/\s*\p{Cc}[\s\p{Cc}]*/gu, ' ').trim();
}

/**
 * The API server names the missing object (`details.kind` is the plural). If a 404 has no name, the type is missing; if it has
 * the name of something else (the namespace of a create), neither is.
 */
function missing(operation: Operation, details: unknown): ApiError['missing'] {
  const { name, kind } = isJsonObject(details) ? details : {};
  if (typeof name !== 'string' || name === '') return 'resource type';
  return name === operation.name && kind === operation.type.plural ? 'object' : undefined;
}

/** RFC 9110 section 10.2.3; the API server sends whole seconds, never a date. */
function retryAfter(header: string | undefined): Duration | undefined {
  return header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) * second : undefined;
}

/** The finalizers of the object in the answer to a deletion, none if the answer is a Status. */
export function finalizersOf({ metadata }: Record<string, unknown>): readonly string[] {
  const { finalizers } = isJsonObject(metadata) ? metadata : {};
  return Array.isArray(finalizers) ? finalizers.filter((finalizer) => typeof finalizer === 'string') : [];
}

export function malformed(operation: Operation, what: string): TransportError {
  return new TransportError('Malformed', `${describe(operation)}: the answer ${what}`);
}

export function toKubeList<T extends KubeObject>(operation: Operation, value: unknown): KubeList<T> {
  const { metadata, items } = isJsonObject(value) ? value : {};
  const { resourceVersion, continue: next } = isJsonObject(metadata) ? metadata : {};
  if (typeof resourceVersion !== 'string' || resourceVersion === '' || !Array.isArray(items)) {
    throw malformed(operation, 'is not a list');
  }
  return {
    metadata: { resourceVersion, continue: typeof next === 'string' ? next : undefined },
    items: items.map((item) => toKubeObject<T>(operation, item)),
  };
}

/**
 * Checks that a parsed value has a name and a resource version, and is the requested object. Removes `managedFields` (often
 * half of an object; a write without them keeps the server's), and adds `apiVersion` and `kind`, which list items of
 * built-in types lack.
 */
// oxlint-disable-next-line no-unnecessary-type-parameters -- the type argument is the caller's claim
export function toKubeObject<T extends KubeObject>(operation: Operation, value: unknown): T {
  const metadata = isJsonObject(value) ? value['metadata'] : undefined;
  if (!isJsonObject(value) || !isJsonObject(metadata)) throw malformed(operation, 'is not a Kubernetes object');
  const { type, name } = operation;
  if (typeof metadata['name'] !== 'string' || typeof metadata['resourceVersion'] !== 'string') {
    throw malformed(operation, 'is an object without a name or resource version');
  }
  if (name !== undefined && metadata['name'] !== name) throw malformed(operation, 'is another object');
  delete metadata['managedFields'];
  value['apiVersion'] ??= type.group === '' ? type.version : `${type.group}/${type.version}`;
  value['kind'] ??= type.kind;
  // oxlint-disable-next-line no-unsafe-type-assertion -- the API server's schema of the type vouches for the rest
  return value as unknown as T;
}
