import { writeFileSync } from 'node:fs';

export interface KubeconfigEntry {
  readonly url: string;
  readonly caFile: string;
  readonly user: string;
  readonly token: string;
  readonly namespace?: string;
}

/** Writes a kubeconfig with one context, readable by its owner alone, and returns its path. JSON is YAML too. */
export function writeKubeconfig(file: string, { url, caFile, user, token, namespace }: KubeconfigEntry): string {
  const cluster = 'control-plane';
  const context = { cluster, user, ...(namespace !== undefined && { namespace }) };
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: cluster, cluster: { server: url, 'certificate-authority': caFile } }],
    users: [{ name: user, user: { token } }],
    contexts: [{ name: cluster, context }],
    'current-context': cluster,
  };
  writeFileSync(file, `${JSON.stringify(kubeconfig, null, 2)}\n`, { mode: 0o600 });
  return file;
}
