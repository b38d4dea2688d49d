import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster } from '../cluster/cluster.ts';

/** Creates the Secret with the key-encryption key in a namespace, as the README does. */
export type CreateKek = (namespace: string) => Promise<void>;

/** The same key in each namespace, so that one installation opens what another one sealed. */
export function kekIn(cluster: Cluster, folder: string): CreateKek {
  const kek = join(folder, 'kek');
  mkdirSync(kek);
  writeFileSync(join(kek, 'k1'), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  writeFileSync(join(kek, 'primary'), 'k1');
  const files = ['k1', 'primary'].map((name) => `--from-file=${join(kek, name)}`);
  return async (namespace) => {
    await cluster.kubectl(['create', 'secret', 'generic', 'lti-key-operator-kek', '--namespace', namespace, ...files]);
  };
}
