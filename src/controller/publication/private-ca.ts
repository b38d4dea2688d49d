import { readFileSync } from 'node:fs';
import { getCACertificates } from 'node:tls';
import { buildConnector } from 'undici';

/**
 * Connects with the authorities of a PEM file besides those that Node trusts. The file is read for each connection, of which there
 * are few, so that a renewed one counts from the next on; NODE_EXTRA_CA_CERTS is only read at the start.
 */
export function connectorTrusting(file: string, options: buildConnector.BuildOptions): buildConnector.connector {
  return (target, callback) => {
    try {
      const ca = [...getCACertificates('default'), readFileSync(file, 'utf8')];
      // A session that is resumed would not be checked again.
      buildConnector({ ...options, ca, maxCachedSessions: 0 })(target, callback);
    } catch (error) {
      callback(error instanceof Error ? error : new Error('the file cannot be used'), null);
    }
  };
}
