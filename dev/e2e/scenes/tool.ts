import { strict as assert } from 'node:assert';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Cluster } from '../cluster/cluster.ts';
import { say } from '../narrate.ts';
import { images } from '../paths.ts';
import type { Tally } from '../tool/main.ts';
import { until } from '../until.ts';
import type { Operator } from './operator.ts';

const namespace = 'gradebook';
const script = join(import.meta.dirname, '../tool/main.ts');

export interface Tool {
  tally(): Promise<Tally>;
  /** @throws Error when a token was rejected, or none was signed since the last time */
  check(): Promise<Tally>;
}

/** A tool that mounts the delivery Secret as the README says, and signs and verifies until the end. */
export async function startTool(cluster: Cluster, operator: Operator): Promise<Tool> {
  const metadata = { name: 'tool', namespace };
  await cluster.apply(
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'main.mjs': await bundled() } },
    { apiVersion: 'v1', kind: 'Pod', metadata, spec: podSpec(await operator.url()) },
  );
  await cluster.kubectl(['wait', 'pod/tool', '--for=condition=Ready', `--namespace=${namespace}`, '--timeout=60s']);
  let signedBefore = 0;
  const tool: Tool = {
    async tally() {
      const line = (await cluster.kubectl(['logs', 'tool', `--namespace=${namespace}`, '--tail=1'])).trim();
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
  };
  await until('the tool has signed', async () => (await tool.check()).signed > 0);
  say('A tool in a Pod mounts the Secret canvas-signing-key, and signs and verifies ten times a second from now on.');
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

function podSpec(jwksURL: string): object {
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
      { name: 'script', configMap: { name: 'tool' } },
      { name: 'keys', secret: { secretName: 'canvas-signing-key', defaultMode: 0o440 } },
    ],
  };
}
