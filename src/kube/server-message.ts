import type { KubeObject, Secret } from './objects.ts';
import type { Operation } from './responses.ts';

/**
 * Decides which messages of the API server may be repeated. Validation and admission messages quote values, and values of Secrets
 * must not appear in any log, event or status. The message of a quota or a policy, however, is what the user needs.
 */

const longestQuote = 1000;
/** A message may not repeat a run of this many characters of a private value: 12 bytes in base64. */
const run = 16;
/** The longest word of a message about a Secret that may look encoded. */
const longestEncoded = 39;

/** Entries of the operator's Secrets that are not confidential. */
const publicEntries: ReadonlySet<string> = new Set([
  'ledger.json',
  'registration.json',
  'jwks.json',
  'kid',
  'public.pem',
]);

export interface Refused extends Operation {
  /** The object to write or delete. */
  readonly object?: KubeObject | undefined;
}

/** Returns the message of a Status on one line, cut if it is long, or the reason why it is omitted. */
export function quotable(message: string, refused: Refused): string {
  const quote = message.slice(0, longestQuote).toWellFormed();
  const omitted = isWriteOfSecret(refused) ? whyOmitted(quote, refused.object) : undefined;
  if (omitted !== undefined) return `the server's message is omitted, because it ${omitted} a value of the Secret`;
  return quote.replaceAll(/\s*\p{Cc}[\s\p{Cc}]*/gu, ' ').trim();
}

/** A read sends no values, and a refused read returns none. */
function isWriteOfSecret({ type, verb }: Operation): boolean {
  return type.plural === 'secrets' && type.group === '' && verb !== 'get' && verb !== 'list' && verb !== 'watch';
}

function whyOmitted(quote: string, object: KubeObject | undefined): 'repeats' | 'may repeat' | undefined {
  if (object === undefined) return 'may repeat';
  if (privateTexts(object).some((text) => repeats(quote, text))) return 'repeats';
  // a policy can also quote the stored object that the write replaces
  return looksEncoded(quote) ? 'may repeat' : undefined;
}

/** The private values, in base64 as sent, and decoded. */
function privateTexts({ data = {} }: Secret): string[] {
  return Object.entries(data)
    .filter(([entry]) => !publicEntries.has(entry))
    .flatMap(([, value]) => [value, Buffer.from(value, 'base64').toString()]);
}

/** Whether `quote` contains a run of `text`, or all of `text` if it is shorter. */
function repeats(quote: string, text: string): boolean {
  if (text.length <= run) return text !== '' && quote.includes(text);
  const quoted = new Set(runsOf(quote));
  return runsOf(text).some((part) => quoted.has(part));
}

function runsOf(text: string): string[] {
  return Array.from({ length: Math.max(0, text.length - run + 1) }, (_, at) => text.slice(at, at + run));
}

/** Whether `quote` has long base64, base64url or hexadecimal; Kubernetes names have no capitals, and English words no digits. */
function looksEncoded(quote: string): boolean {
  return (quote.match(/[\w+/=-]+/g) ?? []).some(
    (word) =>
      word.length > longestEncoded &&
      ((/[a-z]/.test(word) && /[A-Z]/.test(word) && /\d/.test(word)) || /^[\da-f]+$/i.test(word)),
  );
}
