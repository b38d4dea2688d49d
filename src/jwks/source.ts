/** A key set as it is sent. It is never empty, because php-jwt (Moodle) rejects an empty set. */
export interface ServedDocument {
  /** The JWK Set (RFC 7517 §5): a string if it is short and ASCII, which node:http sends together with the headers. */
  readonly body: string | Buffer;
  /** The length of the body. */
  readonly bytes: number;
  /** A strong ETag: a digest of the body, the same on every replica. */
  readonly etag: string;
  /** Milliseconds since the epoch; until then caches should hold the document only briefly. */
  readonly revokedUntil: number;
}

/** The documents to serve. Each was checked when its file was read, so it cannot contain a private key. */
export interface DocumentSource {
  /** Path → document. Entries are replaced one by one; a failure never empties it. */
  readonly documents: ReadonlyMap<string, ServedDocument>;
  /** Whether the documents were current at some time since this process started. It stays true. */
  synced(): boolean;
  /** Whether a document that is missing here may exist at this path, because its namespace could not be read. */
  unread(path: string): boolean;
}
