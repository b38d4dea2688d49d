/** A key set as it is sent. There is none without keys: php-jwt (Moodle) refuses an empty set as a whole. */
export interface ServedDocument {
  /** The JWK Set (RFC 7517 §5): a string where it is short and ASCII, which node:http sends together with the headers. */
  readonly body: string | Buffer;
  /** Of the body. */
  readonly bytes: number;
  /** Strong: a digest of the body, so every replica gives the same. */
  readonly etag: string;
  /** Milliseconds since the epoch; until then caches should hold the document only briefly. */
  readonly revokedUntil: number;
}

/** What the server serves from. Documents are public key sets that were narrowed on the way in: no private key fits. */
export interface DocumentSource {
  /** Path → document; replaced entry by entry, never emptied by a failure. */
  readonly documents: ReadonlyMap<string, ServedDocument>;
  /** Whether the documents were known to be current at some time since this process started. It stays true. */
  synced(): boolean;
  /** Whether a document at this path may exist although it is not among these, because its namespace could not be read. */
  unread(path: string): boolean;
}
