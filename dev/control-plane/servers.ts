import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import type { Restartable } from './control-plane.ts';
import { server } from './server.ts';

/**
 * The command line of each server of the control plane: on loopback, with everything it writes under `folder`.
 */

export function etcdServer(program: string, folder: string, port: number): Restartable & { readonly url: string } {
  const url = `http://127.0.0.1:${port}`;
  const args = [
    `--data-dir=${join(folder, 'etcd')}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    '--listen-peer-urls=http://127.0.0.1:0',
    // The data has to survive a kill, not a power cut, so writes do not wait for the disk.
    '--unsafe-no-fsync',
    '--log-level=warn',
  ];
  const isReady = (): Promise<boolean> => answersOk(new URL('/readyz', url));
  return { url, ...server({ name: 'etcd', program, args, logFile: join(folder, 'etcd.log'), isReady }) };
}

export interface ApiServerOptions {
  readonly program: string;
  readonly folder: string;
  readonly port: number;
  readonly etcdUrl: string;
  /** Where it listens, and where the `kubernetes` Service leads; undefined is loopback, and no Service. */
  readonly address: string | undefined;
  readonly auditLogFile: string | undefined;
  readonly extraFlags: readonly string[];
}

export function apiServer(options: ApiServerOptions): Restartable & {
  readonly url: string;
  readonly caFile: string;
  readonly adminToken: string;
} {
  const { program, folder, port, etcdUrl, address, auditLogFile, extraFlags } = options;
  const url = `https://${address ?? '127.0.0.1'}:${port}`;
  const certificates = join(folder, 'certificates');
  // The certificate the server makes for itself, followed by the CA it made for that; both are made once.
  const caFile = join(certificates, 'apiserver.crt');

  const adminToken = randomBytes(24).toString('hex');
  const tokens = secretFile(join(folder, 'tokens.csv'), `${adminToken},admin,admin,"system:masters"\n`);
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const signingKey = join(folder, 'service-account.key');
  secretFile(signingKey, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const verificationKey = join(folder, 'service-account.pub');
  writeFileSync(verificationKey, publicKey.export({ type: 'spki', format: 'pem' }));

  const args = [
    `--etcd-servers=${etcdUrl}`,
    `--bind-address=${address ?? '127.0.0.1'}`,
    `--advertise-address=${address ?? '127.0.0.1'}`,
    `--secure-port=${port}`,
    `--cert-dir=${certificates}`,
    '--authorization-mode=RBAC',
    `--token-auth-file=${tokens}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-signing-key-file=${signingKey}`,
    `--service-account-key-file=${verificationKey}`,
    '--service-cluster-ip-range=10.96.0.0/16',
    // A loopback address may not be an endpoint of the `kubernetes` Service.
    `--endpoint-reconciler-type=${address === undefined ? 'none' : 'lease'}`,
    // An admission plugin that waits for the ServiceAccount controller concerns Pods alone, so none is disabled.
    ...(auditLogFile === undefined ? [] : auditFlags(folder, auditLogFile)),
    ...extraFlags,
  ];
  const logFile = join(folder, 'kube-apiserver.log');
  const isReady = (): Promise<boolean> => answersOk(new URL('/readyz', url), caFile);
  return { url, caFile, adminToken, ...server({ name: 'kube-apiserver', program, args, logFile, isReady }) };
}

/** Bodies of everything but Secrets and tokens, as the Kubernetes documentation recommends to clusters. */
const auditPolicy = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [
    {
      level: 'Metadata',
      resources: [
        { group: '', resources: ['secrets', 'serviceaccounts/token'] },
        { group: 'authentication.k8s.io', resources: ['tokenreviews'] },
      ],
    },
    { level: 'RequestResponse' },
  ],
};

function auditFlags(folder: string, auditLogFile: string): string[] {
  const policyFile = join(folder, 'audit-policy.json');
  writeFileSync(policyFile, JSON.stringify(auditPolicy));
  return [`--audit-log-path=${auditLogFile}`, `--audit-policy-file=${policyFile}`];
}

/** What a namespace needs to come, to live and to go where there are no Pods. */
export const controllersWithoutNodes: readonly string[] = [
  'garbage-collector',
  'namespace',
  'serviceaccount',
  'clusterrole-aggregation',
].map((name) => `${name}-controller`);

export interface ControllerManagerOptions {
  readonly program: string;
  readonly folder: string;
  readonly port: number;
  readonly kubeconfig: string;
  /** As kube-controller-manager names them. */
  readonly controllers: readonly string[];
  /** Published in every namespace, for Pods, where that controller runs. */
  readonly caFile: string;
}

export function controllerManager(options: ControllerManagerOptions): Restartable {
  const { program, folder, port, kubeconfig, controllers } = options;
  const args = [
    `--kubeconfig=${kubeconfig}`,
    `--controllers=${controllers.join(',')}`,
    `--root-ca-file=${options.caFile}`,
    '--leader-elect=false',
    // Many test namespaces come and go at once; the defaults (20/s) would make their deletion wait.
    '--kube-api-qps=300',
    '--kube-api-burst=600',
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--cert-dir=${join(folder, 'certificates')}`,
  ];
  const logFile = join(folder, 'kube-controller-manager.log');
  const caFile = join(folder, 'certificates', 'kube-controller-manager.crt');
  const isReady = (): Promise<boolean> => answersOk(new URL(`https://127.0.0.1:${port}/healthz`), caFile);
  return server({ name: 'kube-controller-manager', program, args, logFile, isReady });
}

function secretFile(file: string, content: string | Buffer): string {
  writeFileSync(file, content, { mode: 0o600 });
  return file;
}

/** Whether a GET is answered with 200 over a verified connection; `caFile` may not exist yet. */
function answersOk(url: URL, caFile?: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request =
      caFile === undefined
        ? httpRequest(url, { agent: false })
        : httpsRequest(url, { agent: false, ca: readIfThere(caFile) });
    request.setTimeout(2_000, () => request.destroy());
    request.on('response', (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('error', () => resolve(false));
    request.on('close', () => resolve(false));
    request.end();
  });
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
