import { rsaThumbprint } from '../../lib/thumbprint.ts';

/** The members that identify a key. */
interface Key {
  readonly kid: string;
  readonly n: string;
  readonly e: string;
}

/** The exponent of nearly all RSA keys. */
const usualExponent = 'AQAB';

/**
 * The keys of one served document. The document of all namespaces may have 10,000 of them, so each key is kept as its
 * thumbprint, in the same string as the key ID if that is the thumbprint, as for each key that the operator generates.
 */
export class ServedKeySet {
  /** Key ID → RFC 7638 thumbprint; empty for a key that is not RSA or shares its ID with another key. */
  readonly #thumbprints = new Map<string, string>();
  /** The `modulusID` of each key whose ID is not its thumbprint. */
  readonly #moduli = new Set<string>();

  /** Throws when the text is not a JWK Set. */
  static parse(text: string): ServedKeySet {
    const { keys } = JSON.parse(text) as { keys?: unknown };
    if (!Array.isArray(keys)) throw new TypeError('not a JWK Set');
    const served = new ServedKeySet();
    for (const key of keys as readonly unknown[]) if (typeof key === 'object' && key !== null) served.#add(key);
    return served;
  }

  /** Whether a verifier finds this key, not another one, under its key ID. */
  serves(key: Key): boolean {
    return this.#thumbprints.get(key.kid) === rsaThumbprint(key);
  }

  hasID(keyID: string): boolean {
    return this.#thumbprints.has(keyID);
  }

  /** Whether the modulus is served, under any key ID and with any exponent: its factors suffice to sign. */
  hasModulus({ n }: Pick<Key, 'n'>): boolean {
    const id = modulusID(n);
    return this.#moduli.has(id) || this.#thumbprints.has(id);
  }

  #add({ kid, n, e }: { readonly kid?: unknown; readonly n?: unknown; readonly e?: unknown }): void {
    const thumbprint = typeof n === 'string' && typeof e === 'string' ? rsaThumbprint({ n, e }) : '';
    if (typeof kid === 'string') {
      const known = this.#thumbprints.get(kid);
      const value = thumbprint === kid ? kid : thumbprint;
      this.#thumbprints.set(kid, known === undefined || known === value ? value : '');
    }
    if (typeof n !== 'string') return;
    const id = e === usualExponent ? thumbprint : modulusID(n);
    if (kid !== id) this.#moduli.add(id);
  }
}

/** Equals the thumbprint of a key with the usual exponent, which is already computed. */
function modulusID(n: string): string {
  return rsaThumbprint({ n, e: usualExponent });
}
