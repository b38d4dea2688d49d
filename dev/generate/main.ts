/**
 * Writes what is generated: the types of the API from its CRDs, tables and references of the docs, the objects of
 * deploy/monitoring, and the templates of the Helm chart from the manifests in deploy/. `--check` writes nothing, and fails if a file is out
 * of date.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { dashboards } from '../dashboards/dashboards.ts';
import { grafanaJson } from '../dashboards/grafana.ts';
import { apiTypes } from './api-types.ts';
import { chartFiles } from './chart.ts';
import { withCommandReference } from './command-reference.ts';
import { prometheusRule } from './prometheus-rule.ts';
import { withReasonTables } from './reason-tables.ts';

interface Generated {
  readonly file: string;
  /** What it is generated from, for the message of `--check`. */
  readonly source: string;
  /** @param present what the file holds now */
  readonly text: (present: string) => Promise<string>;
}

const root = new URL('../../', import.meta.url);
const read = (file: string): Promise<string> => readFile(new URL(file, root), 'utf8');

function typesOf(kind: string): Generated {
  const source = `crds/${kind}s.yaml`;
  return { file: `src/api/${kind}.gen.ts`, source, text: async () => apiTypes(source, await read(source)) };
}

const alerts = 'deploy/alerts.yaml';

const everything: readonly Generated[] = [
  typesOf('ltiregistration'),
  typesOf('ltikey'),
  { file: 'docs/conditions.md', source: 'src/api/reasons.ts and src/api/conditions.ts', text: withReasonTables },
  { file: 'docs/kubectl-lti.md', source: 'src/cli', text: withCommandReference },
  {
    file: 'deploy/monitoring/prometheusrule.yaml',
    source: alerts,
    text: async () => prometheusRule(alerts, await read(alerts)),
  },
  ...Object.entries(dashboards).map(([name, dashboard]) => ({
    file: `deploy/monitoring/dashboards/${name}.json`,
    source: `dev/dashboards/${name}.ts`,
    text: () => grafanaJson(dashboard),
  })),
  ...chartFiles(),
];

const check = process.argv.includes('--check');
for (const { file, source, text } of everything) {
  const present = await read(file).catch(() => '');
  const wanted = await text(present);
  if (wanted === present) continue;
  if (check) {
    console.error(`${file} does not match ${source}. Run \`npm run generate\` and commit the result.`);
    process.exitCode = 1;
  } else {
    await writeFile(new URL(file, root), wanted);
  }
}
