import { readFileSync } from 'node:fs';
import { getCACertificates } from 'node:tls';
import { buildConnector } from 'undici';

/** The connection was not attempted because --jwks-public-ca-file cannot be used. */
export class PublicCAFileError extends Error {}

/**
 * Trusts the CA certificates of a PEM file in addition to Node's. The file is read for each of the few connections,
 * so that the next connection uses a renewed file; Node reads NODE_EXTRA_CA_CERTS only at startup.
 */
export function connectorTrusting(file: string, options: buildConnector.BuildOptions): buildConnector.connector {
  return (target, callback) => {
    try {
      const pem = readFileSync(file, 'utf8');
      // Node ignores a file without a certificate.
      if (!pem.includes('CERTIFICATE-----')) throw new Error('it contains no PEM certificate');
      const ca = [...getCACertificates('default'), pem];
      // A resumed TLS session skips the certificate check.
      buildConnector({ ...options, ca, maxCachedSessions: 0 })(target, callback);
    } catch (error) {
      const { message } = error instanceof Error ? error : { message: 'unknown error' };
      callback(new PublicCAFileError(`--jwks-public-ca-file ${file} cannot be used: ${message}`), null);
    }
  };
}
