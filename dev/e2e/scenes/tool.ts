import { strict as assert } from 'node:assert';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Cluster } from '../cluster/cluster.ts';
import { say } from '../narrate.ts';
import { images } from '../paths.ts';
import type { Tally } from '../tool/main.ts';
import { until } from '../until.ts';
import { type Operator, registrationNamespace as namespace } from './operator.ts';

const script = join(import.meta.dirname, '../tool/main.ts');

export interface Tool {
  tally(): Promise<Tally>;
  /** @throws Error when a token was rejected, or none was signed since the last time */
  check(): Promise<Tally>;
  remove(): Promise<void>;
}

/** A tool that mounts the delivery Secret as the README says, and signs and verifies until the end. */
export async function startTool(cluster: Cluster, operator: Operator): Promise<Tool> {
  const { registration } = operator;
  const name = `tool-${registration}`;
  const metadata = { name, namespace };
  await cluster.apply(
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'main.mjs': await bundled() } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata,
      spec: podSpec(name, `${registration}-signing-key`, await operator.url()),
    },
  );
  await cluster.kubectl(['wait', `pod/${name}`, '--for=condition=Ready', `--namespace=${namespace}`, '--timeout=60s']);
  let signedBefore = 0;
  const tool: Tool = {
    async tally() {
      const line = (await cluster.kubectl(['logs', name, `--namespace=${namespace}`, '--tail=1'])).trim();
      return JSON.parse(line);
    },
    async check() {
      const tally = await tool.tally();
      assert.deepEqual(tally.rejected, [], 'no token is rejected');
      assert.ok(tally.signed > signedBefore, 'the tool keeps signing');
      assert.ok(tally.signed - tally.verified <= 1, 'all but a token under way are verified');
      signedBefore = tally.signed;
      return tally;
    },
    async remove() {
      await cluster.kubectl(['delete', 'pod', name, `--namespace=${namespace}`, '--wait=false']);
    },
  };
  await until('the tool has signed', async () => (await tool.check()).signed > 0);
  say(
    `A tool in a Pod mounts the Secret ${registration}-signing-key, and signs and verifies ten times a second from now on.`,
  );
  return tool;
}

/** The tool and the library in one file, because the image has no node_modules. */
async function bundled(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [script],
    bundle: true,
    write: false,
    platform: 'node',
    target: 'node24',
    format: 'esm',
  });
  return outputFiles[0]?.text ?? '';
}

function podSpec(configMap: string, secretName: string, jwksURL: string): object {
  return {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 1,
    securityContext: { runAsNonRoot: true, fsGroup: 65532, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'tool',
        image: images.operator,
        imagePullPolicy: 'Never',
        command: ['node', '/tool/main.mjs', '/keys', jwksURL],
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
        volumeMounts: [
          { name: 'script', mountPath: '/tool', readOnly: true },
          { name: 'keys', mountPath: '/keys', readOnly: true },
        ],
      },
    ],
    volumes: [
      { name: 'script', configMap: { name: configMap } },
      { name: 'keys', secret: { secretName, defaultMode: 0o440 } },
    ],
  };
}
