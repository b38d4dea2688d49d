/**
 * Draws docs/images: what the queries of each dashboard return from a Prometheus that scrapes the real operator on a real
 * control plane, during two minutes with rotations. Build the operator first: `npm run dashboards` does both.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { operatorName } from '../../src/api/names.ts';
import { startControlPlane } from '../control-plane/start.ts';
import { installOperator } from '../demo/operator.ts';
import type { Panel } from './dashboard.ts';
import { dashboards } from './dashboards.ts';
import { drawing } from './drawing.ts';
import { filledIn, type Series } from './prometheus.ts';
import { Scene } from './scene.ts';

const folder = join(import.meta.dirname, '../../docs/images');
const namespace = 'gradebook';
const began = performance.now();
const controlPlane = await startControlPlane({ controllerManager: true });
try {
  await installOperator(controlPlane);
  await controlPlane.kubectlRun(['create', 'namespace', namespace]);
  const kubeconfig = await controlPlane.serviceAccountKubeconfig(operatorName, operatorName);
  const scene = await Scene.start({ controlPlane, kubeconfig, namespace });
  try {
    await scene.play();
    for (const trigger of ['two', 'three']) {
      await wait(25_000);
      await scene.rotate(trigger);
    }
    await wait(25_000);
    await draw(scene);
  } finally {
    await scene.stop();
  }
} finally {
  await controlPlane.stop();
}

async function draw({ prometheus }: Scene): Promise<void> {
  const seconds = (performance.now() - began) / 1000;
  const chosen = { namespace, registration: 'canvas' };
  mkdirSync(folder, { recursive: true });
  for (const [name, dashboard] of Object.entries(dashboards)) {
    const answers = new Map<Panel, readonly (readonly Series[])[]>();
    for (const panel of dashboard.rows.flatMap(({ panels }) => panels)) {
      const now = panel.kind === 'number' || panel.kind === 'table';
      const asked = panel.queries.map(({ expr }) => filledIn(expr, chosen));
      const found = asked.map((query) => (now ? prometheus.instant(query) : prometheus.range(query, seconds)));
      answers.set(panel, await Promise.all(found));
    }
    writeFileSync(
      join(folder, `${name}.svg`),
      drawing(dashboard, (panel) => answers.get(panel) ?? []),
    );
  }
}
