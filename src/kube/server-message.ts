import type { Operation } from './responses.ts';
import type { KubeObject, Secret } from './objects.ts';

/**
 * What may be repeated of what the API server said. Validation and admission messages quote values, and those of Secrets
 * must stay out of every log, event and status. The sentence of a quota or a policy, however, is what the user needs.
 */

const longestQuote = 1000;
/** As many characters of a private value as may not be repeated: 12 bytes in base64. */
const run = 16;
/** As many characters of what looks encoded as may be repeated about a Secret. */
const longestEncoded = 39;

/** Entries of Secrets of the operator that everybody may read. */
const publicEntries: ReadonlySet<string> = new Set([
  'ledger.json',
  'registration.json',
  'jwks.json',
  'kid',
  'public.pem',
]);

export interface Refused extends Operation {
  /** What was to be written or deleted. */
  readonly object?: KubeObject | undefined;
}

/** The message of a Status on one line, cut off where it is long, or why it is left out. */
export function quotable(message: string, refused: Refused): string {
  // what is cut off is not looked at: nothing of it is quoted
  const quote = message.slice(0, longestQuote).toWellFormed();
  const omitted = isOfSecret(refused) ? whyOmitted(quote, refused.object) : undefined;
  if (omitted !== undefined) return `the server's message is left out, because it ${omitted} a value of the Secret`;
  return quote.replaceAll(/\s*\p{Cc}[\s\p{Cc}]*/gu, ' ').trim();
}

/** Who only reads has sent nothing, and a refusal to read quotes nothing that is stored. */
function isOfSecret({ type, verb }: Operation): boolean {
  return type.plural === 'secrets' && type.group === '' && verb !== 'get' && verb !== 'list' && verb !== 'watch';
}

function whyOmitted(quote: string, object: KubeObject | undefined): 'repeats' | 'may repeat' | undefined {
  if (object === undefined) return 'may repeat';
  if (privateTexts(object).some((text) => repeats(quote, text))) return 'repeats';
  // a policy can also quote the stored object that a write replaces
  return looksEncoded(quote) ? 'may repeat' : undefined;
}

/** The private values as they were sent, in base64, and decoded. */
function privateTexts({ data = {} }: Secret): string[] {
  return Object.entries(data)
    .filter(([entry]) => !publicEntries.has(entry))
    .flatMap(([, value]) => [value, Buffer.from(value, 'base64').toString()]);
}

/** Whether a run of `text`, or all of it where it is shorter, occurs in `quote`. */
function repeats(quote: string, text: string): boolean {
  if (text.length <= run) return text !== '' && quote.includes(text);
  const quoted = new Set(runsOf(quote));
  return runsOf(text).some((part) => quoted.has(part));
}

function runsOf(text: string): string[] {
  return Array.from({ length: Math.max(0, text.length - run + 1) }, (_, at) => text.slice(at, at + run));
}

/** Long base64, base64url or hexadecimal; names in the Kubernetes API have no capitals, and words no digits. */
function looksEncoded(quote: string): boolean {
  return (quote.match(/[\w+/=-]+/g) ?? []).some(
    (word) =>
      word.length > longestEncoded &&
      ((/[a-z]/.test(word) && /[A-Z]/.test(word) && /\d/.test(word)) || /^[\da-f]+$/i.test(word)),
  );
}
