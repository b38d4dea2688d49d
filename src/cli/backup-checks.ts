import { ledgerEntry } from '../api/names.ts';
import { canaryOpens } from '../crypto/canary.ts';
import { KekError, SealError } from '../crypto/errors.ts';
import { FileKekProvider } from '../crypto/file-kek-provider.ts';
import type { KekProvider } from '../crypto/kek-provider.ts';
import { open } from '../crypto/seal.ts';
import { sealedEntry } from '../crypto/sealed-entry.ts';
import { parseSealed } from '../crypto/sealed-format.ts';
import { type Ledger, sealedKeys } from '../domain/ledger.ts';
import { parseLedger } from '../domain/ledger-format.ts';
import { LedgerError } from '../domain/member-reader.ts';
import { objectKey, type Secret } from '../kube/objects.ts';
import type { Clock } from '../lib/clock.ts';
import { registrationOfLedger } from './backup-file.ts';

/** What is wrong with a backup, one sentence each. The sentences quote no content. */

/** A ledger Secret without the entries that are not what the operator writes: they may hold a private key in the clear. */
export function withoutForeignEntries(secret: Secret): {
  readonly secret: Secret;
  readonly problems: readonly string[];
} {
  const entries = Object.entries(secret.data ?? {});
  const foreign = entries.filter(([entry, value]) => entry !== ledgerEntry && !isSealed(entry, decoded(value)));
  if (foreign.length === 0) return { secret, problems: [] };
  const names = new Set(foreign.map(([entry]) => entry));
  return {
    secret: { ...secret, data: Object.fromEntries(entries.filter(([entry]) => !names.has(entry))) },
    problems: [...names].map(
      (entry) => `Ledger ${objectKey(secret)}: entry ${entry} is not a sealed key, and was left out`,
    ),
  };
}

function isSealed(entry: string, text: string): boolean {
  try {
    parseSealed(text, 'the sealed key');
    return entry.endsWith('.jwe');
  } catch {
    return false;
  }
}

/** Checks that every ledger can be read and has a sealed key for each key that needs one; with KEKs, that each opens. */
export async function checkLedgers(ledgers: readonly Secret[], keks: KekProvider | undefined): Promise<string[]> {
  const problems: string[] = [];
  for (const secret of ledgers) {
    const ledger = readLedger(secret);
    if (typeof ledger === 'string') problems.push(`Ledger ${objectKey(secret)}: ${ledger}`);
    else problems.push(...(await checkKeys(secret, ledger, keks)));
  }
  return problems;
}

/** The KEKs of a directory; a problem with the directory shows with the first key that does not open. */
export function kekDirectory(directory: string, clock: Clock): KekProvider {
  return new FileKekProvider({ directory, clock });
}

/** Checks that each canary opens with its KEK. */
export async function checkCanaries(canaries: readonly Secret[], keks: KekProvider): Promise<string[]> {
  const entries = canaries.flatMap(({ data = {} }) => Object.entries(data));
  const problems = await Promise.all(
    entries.map(async ([kekID, value]): Promise<readonly string[]> => {
      try {
        const opens = await canaryOpens(decoded(value), await keks.openingKey(kekID), keks);
        return opens
          ? []
          : [`the canary of KEK ${kekID} does not open: the KEK has other bytes than when it was first used`];
      } catch (error) {
        if (!(error instanceof KekError)) throw error;
        return [`the canary of KEK ${kekID} cannot be checked: ${error.message}`];
      }
    }),
  );
  return problems.flat();
}

function readLedger(secret: Secret): Ledger | string {
  const value = secret.data?.[ledgerEntry];
  try {
    return parseLedger(
      value === undefined ? undefined : decoded(value),
      secret.metadata.namespace ?? '',
      registrationOfLedger(secret),
    );
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
    return error.message;
  }
}

async function checkKeys(secret: Secret, ledger: Ledger, keks: KekProvider | undefined): Promise<readonly string[]> {
  const { namespace, registration } = ledger;
  const problems: string[] = [];
  for (const { keyID, publicJWK } of sealedKeys(ledger)) {
    const value = secret.data?.[sealedEntry(keyID)];
    if (value === undefined)
      problems.push(`Ledger ${objectKey(secret)}: the sealed private key of ${keyID} is missing`);
    else if (keks) {
      try {
        await open(decoded(value), { namespace, registration, keyID, publicJWK }, keks);
      } catch (error) {
        if (!(error instanceof SealError)) throw error;
        problems.push(error.message);
      }
    }
  }
  return problems;
}

function decoded(value: string): string {
  return Buffer.from(value, 'base64').toString();
}
