import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Part } from '../lib/together.ts';
import type { Logger } from '../observability/log.ts';

/** How often the files are read: a mounted Secret changes by a symbolic link, which a watch on the file does not report. */
export const certificateCheckMs = 5000;

export interface CertificateOptions {
  readonly tlsCert: string;
  readonly tlsKey: string;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface KeyPair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** The certificate and private key that a TLS server presents, and their renewal. */
export class ServerCertificate implements Part {
  readonly #options: CertificateOptions;
  #current: KeyPair;
  #onRenewed: (renewed: KeyPair) => void = () => undefined;

  private constructor(options: CertificateOptions, current: KeyPair) {
    this.#options = options;
    this.#current = current;
  }

  /** Rejects with Node's error if a file cannot be read, and with OpenSSL's if they are not a certificate and its key. */
  static async load(options: CertificateOptions): Promise<ServerCertificate> {
    return new ServerCertificate(options, await readKeyPair(options));
  }

  get current(): KeyPair {
    return this.#current;
  }

  /** The server's own certificate, which is the first in the file. */
  parsed(): X509Certificate {
    return new X509Certificate(this.#current.cert);
  }

  /** Sets the one listener. */
  onRenewed(listener: (renewed: KeyPair) => void): void {
    this.#onRenewed = listener;
  }

  /** Polls the files until `signal` aborts. The current pair stays in use while the files are broken or half written. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, tlsCert: file } = this.#options;
    let logged = '';
    for (;;) {
      await sleep(clock, certificateCheckMs, signal);
      if (signal.aborted) return;
      try {
        const found = await readKeyPair(this.#options);
        logged = '';
        if (isDeepStrictEqual(found, this.#current)) continue;
        this.#onRenewed(found);
        this.#current = found;
        log.info({ file }, 'renewed the TLS certificate');
      } catch (error) {
        if (logged === String(error)) continue;
        logged = String(error);
        log.error({ error, file }, 'cannot use the new TLS certificate, keeping the old one');
      }
    }
  }
}

async function readKeyPair({ tlsCert, tlsKey }: CertificateOptions): Promise<KeyPair> {
  // One after the other, so that the error always names the first unreadable file.
  const cert = await readFile(tlsCert);
  const key = await readFile(tlsKey);
  createSecureContext({ cert, key });
  return { cert, key };
}
