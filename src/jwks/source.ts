import type { PreparedDocument } from './prepared-document.ts';

/** What the server serves from. Documents are public key sets that were narrowed on the way in: no private key fits. */
export interface DocumentSource {
  /** Path → document; replaced entry by entry, never emptied by a failure. */
  readonly documents: ReadonlyMap<string, PreparedDocument>;
  /** Whether the documents were known to be current at some time since this process started. It stays true. */
  synced(): boolean;
  /** Whether a document at this path may exist although it is not among these, because its namespace could not be read. */
  unread(path: string): boolean;
}
