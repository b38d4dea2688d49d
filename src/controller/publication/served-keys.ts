import { rsaThumbprint } from '../../lib/thumbprint.ts';

/** What a question about a key needs of it. */
interface Key {
  readonly kid: string;
  readonly n: string;
  readonly e: string;
}

/** The exponent of nearly every RSA key. */
const usualExponent = 'AQAB';

/**
 * The keys of one served document. A document of all namespaces has 10,000 of them, so each is kept as a thumbprint, and
 * where that is its key ID, as for every key made here, as the same string.
 */
export class ServedKeys {
  /** Key ID → RFC 7638 thumbprint; the empty text for what is no RSA key or shares its ID with another key. */
  readonly #thumbprints = new Map<string, string>();
  /** The moduli that no key ID tells, as `modulusID`. */
  readonly #moduli = new Set<string>();

  /** Throws when the text is not a JWK Set. */
  static parse(text: string): ServedKeys {
    const { keys } = JSON.parse(text) as { keys?: unknown };
    if (!Array.isArray(keys)) throw new TypeError('no key set');
    const served = new ServedKeys();
    for (const key of keys as readonly unknown[]) if (typeof key === 'object' && key !== null) served.#add(key);
    return served;
  }

  /** Whether a verifier finds this very key under its key ID. */
  serves(key: Key): boolean {
    return this.#thumbprints.get(key.kid) === rsaThumbprint(key);
  }

  hasID(keyID: string): boolean {
    return this.#thumbprints.has(keyID);
  }

  /** Whether the modulus is served under any key ID and with any exponent: whoever has its factors can sign. */
  hasModulus({ n }: Pick<Key, 'n'>): boolean {
    const id = modulusID(n);
    return this.#moduli.has(id) || this.#thumbprints.has(id);
  }

  #add({ kid, n, e }: { readonly kid?: unknown; readonly n?: unknown; readonly e?: unknown }): void {
    const thumbprint = typeof n === 'string' && typeof e === 'string' ? rsaThumbprint({ n, e }) : '';
    if (typeof kid === 'string') {
      const known = this.#thumbprints.get(kid);
      const told = thumbprint === kid ? kid : thumbprint;
      this.#thumbprints.set(kid, known === undefined || known === told ? told : '');
    }
    if (typeof n !== 'string') return;
    const id = e === usualExponent ? thumbprint : modulusID(n);
    if (kid !== id) this.#moduli.add(id);
  }
}

/** Of a key with the usual exponent this is the thumbprint, which is there already. */
function modulusID(n: string): string {
  return rsaThumbprint({ n, e: usualExponent });
}
