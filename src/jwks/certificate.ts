import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Server } from 'node:https';
import { createSecureContext } from 'node:tls';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';

/** How often the files are looked at: a mounted Secret changes by a symbolic link, of which no watch of a file tells. */
export const certificateCheckMs = 5000;

export interface CertificateFiles {
  readonly tlsCert: string;
  readonly tlsKey: string;
}

export interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface Validity {
  readonly validFrom: Date;
  readonly validTo: Date;
}

/** Of the server's own certificate, which is the first in the file. */
export function validityOf({ cert }: Certificate): Validity {
  const { validFromDate, validToDate } = new X509Certificate(cert);
  return { validFrom: validFromDate, validTo: validToDate };
}

/** Rejects with Node's error if a file cannot be read, and with OpenSSL's if the two are no certificate and its key. */
export async function readCertificate({ tlsCert, tlsKey }: CertificateFiles): Promise<Certificate> {
  // One after the other, so that it is always the first unreadable one that an error names.
  const cert = await readFile(tlsCert);
  const key = await readFile(tlsKey);
  createSecureContext({ cert, key });
  return { cert, key };
}

/**
 * Puts a renewed certificate into force for new connections, until `signal` aborts. One that is broken, or half written,
 * leaves the old one in force; the log says so once.
 */
export async function followCertificate(
  server: Pick<Server, 'setSecureContext'>,
  files: CertificateFiles,
  current: Certificate,
  {
    clock,
    log,
    signal,
    renewed,
  }: { clock: Clock; log: Logger; signal: AbortSignal; renewed: (certificate: Certificate) => void },
): Promise<void> {
  let said = '';
  let inForce = current;
  for (;;) {
    await sleep(clock, certificateCheckMs, signal);
    if (signal.aborted) return;
    try {
      const found = await readCertificate(files);
      said = '';
      if (found.cert.equals(inForce.cert) && found.key.equals(inForce.key)) continue;
      server.setSecureContext({ ...found, minVersion: 'TLSv1.2' });
      inForce = found;
      renewed(found);
      log.info({ file: files.tlsCert }, 'the certificate was renewed');
    } catch (error) {
      if (said === String(error)) continue;
      said = String(error);
      log.error({ error, file: files.tlsCert }, 'cannot use the new certificate, keeping the old one');
    }
  }
}
