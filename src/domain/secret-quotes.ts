import { Buffer } from 'node:buffer';
import { ledgerEntry } from '../api/names.ts';

/** Whether a text may quote a value of a Secret. Such a text must not appear in any log, event or status. */

/** A text may not repeat a run of this many characters of a private value: 12 bytes in base64. */
const run = 16;
/** The longest word that may look encoded. */
const longestEncoded = 39;

/** Entries of the operator's Secrets that are not confidential. */
const publicEntries: ReadonlySet<string> = new Set([
  ledgerEntry,
  'registration.json',
  'jwks.json',
  'kid',
  'public.pem',
]);

/**
 * How a text relates to the values of a Secret; `undefined` if it quotes none of them.
 *
 * @param data base64, as in the Secret that was sent; `undefined`: not known
 */
export function quotesSecret(
  text: string,
  data: Readonly<Record<string, string>> | undefined,
): 'repeats' | 'may repeat' | undefined {
  if (data === undefined) return 'may repeat';
  if (privateTexts(data).some((value) => repeats(text, value))) return 'repeats';
  // A policy can also quote the stored object that the write replaces.
  return looksEncoded(text) ? 'may repeat' : undefined;
}

/** The private values, in base64 and decoded. */
function privateTexts(data: Readonly<Record<string, string>>): string[] {
  return Object.entries(data)
    .filter(([entry]) => !publicEntries.has(entry))
    .flatMap(([, value]) => [value, Buffer.from(value, 'base64').toString()]);
}

/** Whether `text` contains a run of `value`, or all of `value` if it is shorter. */
function repeats(text: string, value: string): boolean {
  if (value.length <= run) return value !== '' && text.includes(value);
  const quoted = new Set(runsOf(text));
  return runsOf(value).some((part) => quoted.has(part));
}

function runsOf(text: string): string[] {
  return Array.from({ length: Math.max(0, text.length - run + 1) }, (_, at) => text.slice(at, at + run));
}

/** Whether `text` has long base64, base64url or hexadecimal; Kubernetes names have no capitals, and English words no digits. */
function looksEncoded(text: string): boolean {
  return (text.match(/[\w+/=-]+/g) ?? []).some(
    (word) =>
      word.length > longestEncoded &&
      ((/[a-z]/.test(word) && /[A-Z]/.test(word) && /\d/.test(word)) || /^[\da-f]+$/i.test(word)),
  );
}
