import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { LtiRegistration } from '../../src/api/objects.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import type { ControlPlane } from '../control-plane/control-plane.ts';
import type { Story } from './stories/story.ts';

const folder = join(import.meta.dirname, '../../deploy/samples');

export interface Samples {
  /** The namespace first. */
  readonly objects: readonly KubeObject[];
  /** Of the registrations. */
  readonly names: readonly string[];
}

/** The objects of deploy/samples; nothing of a registration is changed but its durations. */
export function readSamples(durations: Story['durations']): Samples {
  const files = readdirSync(folder).filter((file) => file.endsWith('.yaml') && file !== 'kustomization.yaml');
  const objects = files.map((file): KubeObject => parse(readFileSync(join(folder, file), 'utf8')));
  const registrations = objects
    .filter((object): object is LtiRegistration => object.kind === 'LtiRegistration')
    .map((object) => ({ ...object, spec: { ...object.spec, ...durations } }));
  return {
    objects: [...objects.filter(({ kind }) => kind !== 'LtiRegistration'), ...registrations],
    names: registrations.map(({ metadata }) => metadata.name),
  };
}

export async function applySamples(controlPlane: ControlPlane, { objects }: Samples): Promise<void> {
  const list = { apiVersion: 'v1', kind: 'List', items: objects };
  const { code, stderr } = await controlPlane.kubectlRun(['apply', '--filename=-'], { input: JSON.stringify(list) });
  if (code !== 0) throw new Error(`The API server refused the samples: ${stderr.trim()}`);
}
