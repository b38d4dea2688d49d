import { KekError, SealError } from '../../crypto/errors.ts';
import type { KekProvider } from '../../crypto/kek-provider.ts';
import { isFault } from '../../domain/situation.ts';
import type { ObjectKey } from '../../kube/objects.ts';
import type { Imports } from '../secrets/import.ts';
import type { LedgerRecord } from '../secrets/ledger-secret.ts';
import type { GeneratedKey, KeyGenerator } from './key-generator.ts';
import { sealPair } from './key-material.ts';

interface PairSources {
  readonly keks: KekProvider;
  readonly generator: Pick<KeyGenerator, 'take' | 'drop'>;
}

/** The pair that an earlier decision requested, or the imported key, which is sealed here. */
export async function waitingPair(
  { keks, generator }: PairSources,
  key: ObjectKey,
  imports: Imports | undefined,
  record: LedgerRecord | undefined,
): Promise<GeneratedKey | undefined> {
  const signing = imports?.state.signing;
  if (!signing || isFault(signing) || !imports?.privateKey) {
    const generated = generator.take(key);
    const isWritten = record?.ledger.keys.some(({ keyID }) => keyID === generated?.facts.keyID);
    if (!isWritten) return generated;
    // The write succeeded and its answer was lost.
    generator.drop(key);
    return undefined;
  }
  try {
    return await sealPair(key, { ...signing, privateKey: imports.privateKey }, keks);
  } catch (error) {
    if (!(error instanceof KekError) && !(error instanceof SealError)) throw error;
    // The situation has the reason, as `sealingFault`.
    return undefined;
  }
}
