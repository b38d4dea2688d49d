import { createPublicKey } from 'node:crypto';
import type { KeySource } from './sign.ts';
import type { Delivery } from './version.ts';

/** For ltijs 5: platforms and keys come from mounted delivery Secrets, everything else from the tool's database. */

type Row = Readonly<Record<string, unknown>>;

/** What ltijs asks of a database: the interface of its database plug-ins. */
export interface LtijsDatabase {
  setup(): Promise<unknown>;
  Get(encryptionKey: string | false, collection: string, query?: Row): Promise<Row[] | false>;
  Insert(encryptionKey: string | false, collection: string, item: Row, index?: Row): Promise<unknown>;
  Replace(encryptionKey: string | false, collection: string, query: Row, item: Row, index?: Row): Promise<unknown>;
  Modify(encryptionKey: string | false, collection: string, query: Row, modification: Row): Promise<unknown>;
  Delete(collection: string, query: Row): Promise<unknown>;
  Close(): Promise<unknown>;
}

/**
 * The `plugin` for `Provider.setup`, in front of the tool's `database`. `sources` is a `KeyBundle`, or a list with one key directory for
 * each registration. It is iterated over for each question, so registrations that a bundle gets later are found.
 */
export class DeliveredKeys implements LtijsDatabase {
  readonly #database: LtijsDatabase;
  readonly #sources: Iterable<KeySource>;
  /** With the previous one, because ltijs reads platform and key one after the other. */
  readonly #recent = new Map<KeySource, readonly Delivery[]>();

  constructor(database: LtijsDatabase, sources: Iterable<KeySource>) {
    this.#database = database;
    this.#sources = sources;
  }

  async Get(encryptionKey: string | false, collection: string, query: Row = {}): Promise<Row[] | false> {
    const { rows, failure } = this.#delivered(collection);
    const found = rows.filter((row) => Object.entries(query).every(([name, value]) => row[name] === value));
    const others = (await this.#database.Get(encryptionKey, collection, query)) || [];
    const isOurs = (other: Row): boolean =>
      rows.some(({ platformUrl, clientId }) => other['platformUrl'] === platformUrl && other['clientId'] === clientId);
    const all = [...found, ...others.filter((other) => !isOurs(other))];
    // Only if nothing else answers: one registration without a key must not stop the others.
    if (all.length === 0 && failure !== undefined) throw failure;
    return all.length > 0 && all;
  }

  setup = (): Promise<unknown> => this.#database.setup();
  Insert: LtijsDatabase['Insert'] = (...args) => this.#database.Insert(...args);
  Replace: LtijsDatabase['Replace'] = (...args) => this.#database.Replace(...args);
  Modify: LtijsDatabase['Modify'] = (...args) => this.#database.Modify(...args);
  Delete: LtijsDatabase['Delete'] = (...args) => this.#database.Delete(...args);
  Close = (): Promise<unknown> => this.#database.Close();

  #delivered(collection: string): { readonly rows: readonly Row[]; readonly failure?: unknown } {
    const rowsOf = tables[collection];
    if (!rowsOf) return { rows: [] };
    const rows: Row[] = [];
    let failure: unknown;
    for (const source of this.#sources) {
      try {
        const [latest] = this.#recent.get(source) ?? [];
        const current = source.current();
        if (current !== latest) this.#recent.set(source, latest ? [current, latest] : [current]);
      } catch (error) {
        failure = error;
        continue;
      }
      rows.push(...rowsOf(this.#recent.get(source) ?? []));
    }
    return { rows, failure };
  }
}

/** Rows by collection, from the present version and the previous one. */
const tables: Readonly<Record<string, (recent: readonly Delivery[]) => Row[]>> = {
  platform: ([current]) => (current ? [platformRow(current)] : []),
  privatekey: (recent) =>
    recent.map(({ keyID, privateKey, registration }) => ({
      kid: keyID,
      platformUrl: registration.issuer,
      clientId: registration.client_id,
      key: privateKey.export({ format: 'pem', type: 'pkcs8' }),
    })),
  // Also the next key, and the previous one until it is retired.
  publickey: ([current]) =>
    (current?.jwks ?? []).map((jwk) => ({
      kid: jwk.kid,
      platformUrl: current?.registration.issuer,
      clientId: current?.registration.client_id,
      key: createPublicKey({ key: { ...jwk }, format: 'jwk' }).export({ format: 'pem', type: 'spki' }),
    })),
};

/** ltijs sends the ID of the platform as `kid`. */
function platformRow({ keyID, registration }: Delivery): Row {
  return {
    kid: keyID,
    platformName: registration.issuer,
    platformUrl: registration.issuer,
    clientId: registration.client_id,
    authEndpoint: registration.authorization_endpoint,
    accesstokenEndpoint: registration.token_endpoint,
    authorizationServer: registration.token_audience,
    authConfig: { method: 'JWK_SET', key: registration.jwks_uri },
  };
}
