import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Part } from '../lib/together.ts';
import type { Logger } from '../observability/log.ts';

/** How often the files are read: a mounted Secret changes by a symbolic link, which a watch on the file does not report. */
export const certificateCheckMs = 5000;

export interface CertificateFiles {
  readonly tlsCert: string;
  readonly tlsKey: string;
}

export interface Validity {
  readonly validFrom: Date;
  readonly validTo: Date;
}

export interface KeyPair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** The certificate and private key that a TLS server presents, and their renewal. */
export class ServerCertificate implements Part {
  readonly #files: CertificateFiles;
  readonly #clock: Clock;
  readonly #log: Logger;
  #current: KeyPair;
  #onRenewed: (renewed: KeyPair) => void = () => undefined;

  private constructor(files: CertificateFiles, current: KeyPair, clock: Clock, log: Logger) {
    this.#files = files;
    this.#current = current;
    this.#clock = clock;
    this.#log = log;
  }

  /** Rejects with Node's error if a file cannot be read, and with OpenSSL's if they are not a certificate and its key. */
  static async load(
    files: CertificateFiles,
    { clock, log }: { readonly clock: Clock; readonly log: Logger },
  ): Promise<ServerCertificate> {
    return new ServerCertificate(files, await readKeyPair(files), clock, log);
  }

  get current(): KeyPair {
    return this.#current;
  }

  /** The validity of the server's own certificate, which is the first in the file. */
  validity(): Validity {
    const { validFromDate, validToDate } = new X509Certificate(this.#current.cert);
    return { validFrom: validFromDate, validTo: validToDate };
  }

  /** Sets the one listener. */
  onRenewed(listener: (renewed: KeyPair) => void): void {
    this.#onRenewed = listener;
  }

  /** Polls the files until `signal` aborts. The current pair stays in use while the files are broken or half written. */
  async run(signal: AbortSignal): Promise<void> {
    let logged = '';
    for (;;) {
      await sleep(this.#clock, certificateCheckMs, signal);
      if (signal.aborted) return;
      try {
        const found = await readKeyPair(this.#files);
        logged = '';
        if (found.cert.equals(this.#current.cert) && found.key.equals(this.#current.key)) continue;
        this.#onRenewed(found);
        this.#current = found;
        this.#log.info({ file: this.#files.tlsCert }, 'renewed the TLS certificate');
      } catch (error) {
        if (logged === String(error)) continue;
        logged = String(error);
        this.#log.error(
          { error, file: this.#files.tlsCert },
          'cannot use the new TLS certificate, keeping the old one',
        );
      }
    }
  }
}

async function readKeyPair({ tlsCert, tlsKey }: CertificateFiles): Promise<KeyPair> {
  // One after the other, so that the error always names the first unreadable file.
  const cert = await readFile(tlsCert);
  const key = await readFile(tlsKey);
  createSecureContext({ cert, key });
  return { cert, key };
}
