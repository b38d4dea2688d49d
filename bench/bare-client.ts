import { randomBytes, generateKeyPair } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import { Agent, request } from 'undici';
import { KubeConfig } from '@kubernetes/client-node';
import { registration } from './registrations.ts';

/**
 * The baseline of `scale-ready`, in a process of its own: for each registration its key and the nine requests that the operator
 * needs (two reads that find nothing, three creates, four updates), with plain undici. Arguments: the kubeconfig, the namespace
 * and the number of registrations. Prints the seconds, and its own seconds of CPU.
 */

const [, , kubeconfig = '', namespace = '', argument = ''] = process.argv;
const count = Number(argument);
const config = new KubeConfig();
config.loadFromFile(kubeconfig);
const { server = '', caFile } = config.getCurrentCluster() ?? {};
const ca =
  caFile === undefined ? Buffer.from(config.getCurrentCluster()?.caData ?? '', 'base64') : readFileSync(caFile);
const dispatcher = new Agent({ connections: 32, allowH2: false, connect: { ca } });
const headers = {
  authorization: `Bearer ${config.getCurrentUser()?.token ?? ''}`,
  'content-type': 'application/json',
  accept: 'application/json',
};
const generate = promisify(generateKeyPair);
/** The size of a sealed private key of 2048 bits. */
const sealedBytes = 2600;

async function call(method: 'GET' | 'POST' | 'PUT', path: string, body?: object): Promise<Stored> {
  const response = await request(server + path, {
    dispatcher,
    method,
    headers,
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const text = await response.body.text();
  if (response.statusCode >= 400 && !(method === 'GET' && response.statusCode === 404)) {
    throw new Error(`${method} ${path}: ${response.statusCode}`);
  }
  return JSON.parse(text);
}

interface Stored {
  readonly metadata: object;
  readonly [member: string]: unknown;
}

const core = `/api/v1/namespaces/${namespace}/secrets`;
const lti = `/apis/ltikeys.dev/v1alpha1/namespaces/${namespace}`;
const condition = (type: string): object => ({
  type,
  status: 'True',
  reason: 'SigningKeyReady',
  message: 'a sentence about as long as the sentences that the operator writes into conditions',
  lastTransitionTime: new Date().toISOString(),
});
const types = ['Ready', 'Published', 'KeyMaterialAvailable', 'ActionRequired', 'Reconciling', 'Stalled'];

async function bringUp(name: string): Promise<void> {
  const object = await call('POST', `${lti}/ltiregistrations`, registration(namespace, name));
  await call('GET', `${core}/${name}-lti-keys`);
  await call('GET', `${lti}/ltikeys/${name}-1`);
  const { publicKey } = await generate('rsa', { modulusLength: 2048 });
  const { n = '', e = '' } = publicKey.export({ format: 'jwk' });
  const keyID = randomBytes(32).toString('base64url');
  const publicJWK = { kty: 'RSA', use: 'sig', alg: 'RS256', kid: keyID, n, e };
  const row = { revision: 1, keyID, algorithm: 'RS256', size: 2048, publicJWK, state: 'Next' };
  const base64 = (value: object | Buffer): string =>
    Buffer.from(value instanceof Buffer ? value : JSON.stringify(value)).toString('base64');
  const ledger = await call('POST', core, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: `${name}-lti-keys`, namespace },
    type: 'ltikeys.dev/ledger',
    data: { 'ledger.json': base64({ keys: [row] }), [`${keyID}.jwe`]: base64(randomBytes(sealedBytes)) },
  });
  const apiVersion = 'ltikeys.dev/v1alpha1';
  const key = await call('POST', `${lti}/ltikeys`, {
    apiVersion,
    kind: 'LtiKey',
    metadata: { name: `${name}-1`, namespace },
    spec: { registrationRef: { name }, revision: 1, keyID, algorithm: 'RS256', size: 2048, publicJWK },
  });
  const now = new Date().toISOString();
  const shown = await call('PUT', `${lti}/ltikeys/${name}-1/status`, {
    ...key,
    status: {
      state: 'Next',
      createdAt: now,
      kekID: 'k1',
      ledgerSerial: 1,
      conditions: types.slice(0, 2).map(condition),
    },
  });
  await call('PUT', `${core}/${name}-lti-keys`, { ...ledger, metadata: ledger.metadata });
  await call('PUT', `${lti}/ltikeys/${name}-1/status`, {
    ...shown,
    status: {
      state: 'Active',
      createdAt: now,
      publishedAt: now,
      activatedAt: now,
      kekID: 'k1',
      ledgerSerial: 2,
      conditions: types.slice(0, 2).map(condition),
    },
  });
  await call('PUT', `${lti}/ltiregistrations/${name}/status`, {
    ...object,
    status: { observedGeneration: 1, phase: 'Ready', conditions: types.map(condition), ledgerSerial: 2 },
  });
  await call('POST', `/apis/events.k8s.io/v1/namespaces/${namespace}/events`, {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: `${name}.${randomBytes(6).toString('hex')}`, namespace },
    eventTime: now.replace('Z', '000Z'),
    reportingController: 'bench',
    reportingInstance: 'bench',
    action: 'Reconcile',
    type: 'Normal',
    reason: 'KeyActivated',
    regarding: { apiVersion, kind: 'LtiRegistration', name, namespace },
  });
}

let begun = 0;
async function work(): Promise<void> {
  for (; begun < count;) {
    begun += 1;
    await bringUp(`bare-${begun}`);
  }
}

await bringUp('bare-0');
const [start, cpu] = [performance.now(), process.cpuUsage()];
await Promise.all(Array.from({ length: 8 * availableParallelism() }, work));
const { user, system } = process.cpuUsage(cpu);
console.log(JSON.stringify({ seconds: (performance.now() - start) / 1000, cpuSeconds: (user + system) / 1e6 }));
await dispatcher.close();
