import { readFile } from 'node:fs/promises';
import { prometheusRuleHead } from './prometheus-rule.ts';

/**
 * The templates of deploy/charts/lti-key-operator, made from the manifests that kustomize installs: names and namespaces become
 * values, and the edits below put in the choices for which kustomize has components and patches. test/apiserver/chart.test.ts
 * compares what both render.
 */

/** Text that the manifest has exactly once, and what the template has in its place. */
type Edit = readonly [found: string, template: string];

interface Template {
  readonly name: string;
  readonly source: string;
  /** Helm's condition for these objects. */
  readonly when?: string;
  readonly edits?: readonly Edit[];
}

const chart = 'deploy/charts/lti-key-operator';

/** A value as YAML, indented by this many spaces. */
function valueBlock(spaces: number, value: string): string {
  return `${' '.repeat(spaces)}{{- toYaml ${value} | nindent ${spaces} }}\n`;
}

function optionalBlock(spaces: number, key: string, value: string): string {
  const indent = ' '.repeat(spaces);
  return `${indent}{{- with ${value} }}\n${indent}${key}:\n${valueBlock(spaces + 2, '.')}${indent}{{- end }}\n`;
}

function optionalItems(spaces: number, value: string): string {
  const indent = ' '.repeat(spaces);
  return `${indent}{{- with ${value} }}\n${valueBlock(spaces, '.')}${indent}{{- end }}\n`;
}

const resourceBlock = (cpu: string, memory: string, cpuLimit: string, memoryLimit: string): string =>
  '          resources:\n' +
  `            requests:\n              cpu: ${cpu}\n              memory: ${memory}\n              ephemeral-storage: 16Mi\n` +
  `            limits:\n              cpu: '${cpuLimit}'\n              memory: ${memoryLimit}\n              ephemeral-storage: 64Mi\n`;

const resources = (found: string, value: string): Edit => [found, `          resources:\n${valueBlock(12, value)}`];

const namespaceArgs =
  '            {{- range .Values.namespaces }}\n            - --namespace={{ . }}\n            {{- end }}\n' +
  '            {{- if .Values.clusterDocument }}\n            - --cluster-document\n            {{- end }}\n';

/** What both Deployments have. */
const podEdits: readonly Edit[] = [
  ['        ltikeys.dev/serves: jwks\n', `        ltikeys.dev/serves: jwks\n${optionalItems(8, '.Values.podLabels')}`],
  [
    '      automountServiceAccountToken: false\n      enableServiceLinks: false\n',
    '      automountServiceAccountToken: false\n      enableServiceLinks: false\n' +
      optionalBlock(6, 'imagePullSecrets', '.Values.image.pullSecrets') +
      '      {{- with .Values.priorityClassName }}\n      priorityClassName: {{ . }}\n      {{- end }}\n' +
      optionalBlock(6, 'nodeSelector', '.Values.nodeSelector') +
      optionalBlock(6, 'tolerations', '.Values.tolerations') +
      optionalBlock(6, 'affinity', '.Values.affinity'),
  ],
  [
    '            - --admin-address=:8081\n',
    `            - --admin-address=:8081\n${optionalItems(12, '.Values.jwks.extraArgs')}`,
  ],
  resources(resourceBlock('50m', '96Mi', '1', '256Mi'), '.Values.jwks.resources'),
];

function defaultContainer(name: string): Edit {
  const annotation = `        kubectl.kubernetes.io/default-container: ${name}\n`;
  return [annotation, annotation + optionalItems(8, '.Values.podAnnotations')];
}

const apiServerPorts = [443, 6443, 8443, 16443].map((port) => `        - port: ${port}\n`).join('');
const apiServerEdit: Edit = [
  `    - ports:\n${apiServerPorts}        - port: 1024\n          endPort: 65535\n`,
  '    {{- if .Values.networkPolicy.apiServerEgress }}\n' +
    valueBlock(4, '.Values.networkPolicy.apiServerEgress') +
    `    {{- else }}\n    - ports:\n${apiServerPorts}        - port: 1024\n          endPort: 65535\n    {{- end }}\n`,
];

const kekMount =
  '            - name: kek\n              mountPath: /etc/lti-key-operator/kek\n              readOnly: true\n';
const publishMount = '            - name: publish\n              mountPath: /var/lib/lti-key-operator/publish\n';
const kekVolume =
  '        - name: kek\n          secret:\n            secretName: lti-key-operator-kek\n' +
  '            optional: true\n            defaultMode: 0440\n';
const publishVolume =
  '        - name: publish\n          emptyDir:\n            medium: Memory\n            sizeLimit: 192Mi\n';

const dnsPorts = [53, 5353]
  .flatMap((port) => ['UDP', 'TCP'].map((protocol) => `        - port: ${port}\n          protocol: ${protocol}\n`))
  .join('');

function binding(name: string): Edit {
  const body = (kind: string, namespace: string): string =>
    `apiVersion: rbac.authorization.k8s.io/v1\nkind: ${kind}\nmetadata:\n  name: ${name}\n${namespace}`;
  const rest = `  labels:
    app.kubernetes.io/name: ${name}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: ${name}
subjects:
  - kind: ServiceAccount
    name: ${name}
    namespace: lti-key-operator
`;
  return [
    body('ClusterRoleBinding', '') + rest,
    `{{- range .Values.namespaces }}\n${body('RoleBinding', '  namespace: {{ . }}\n')}${rest}---\n{{- else }}\n` +
      `${body('ClusterRoleBinding', '')}${rest}{{- end }}\n`,
  ];
}

const monitorLabels = (value: string): Edit => [
  '    app.kubernetes.io/name: lti-key-operator\nspec:\n',
  `    app.kubernetes.io/name: lti-key-operator\n${optionalItems(4, `.Values.monitoring.${value}.labels`)}spec:\n`,
];

const templates: readonly Template[] = [
  { name: 'serviceaccount', source: 'deploy/serviceaccount.yaml' },
  { name: 'rbac', source: 'deploy/rbac.yaml', edits: [binding('lti-key-operator')] },
  { name: 'tenant-rbac', source: 'deploy/tenant-rbac.yaml' },
  {
    name: 'admission-policy',
    source: 'deploy/admission-policy.yaml',
    when: '.Values.admissionPolicies.enabled',
    edits: [
      [
        '    name: lti-key-operator\n    namespace: lti-key-operator\n',
        '    name: lti-key-operator\n    namespace: lti-key-operator\n  {{- range .Values.admissionPolicies.otherOperators }}\n' +
          '  - kind: ServiceAccount\n    name: {{ .name }}\n    namespace: {{ .namespace }}\n  {{- end }}\n',
      ],
    ],
  },
  {
    name: 'deployment',
    source: 'deploy/deployment.yaml',
    edits: [
      ...podEdits,
      defaultContainer('controller'),
      ['  replicas: 2\n', '  replicas: {{ .Values.replicas }}\n'],
      [
        '            - --kek-dir=/etc/lti-key-operator/kek\n',
        '            {{- if .Values.kek.secretName }}\n            - --kek-dir=/etc/lti-key-operator/kek\n            {{- end }}\n',
      ],
      [
        '            - --jwks-service=$(JWKS_SERVICE)\n',
        '            - --jwks-service=$(JWKS_SERVICE)\n' +
          '            {{- with .Values.kek.kms }}\n            - --kms-socket=/run/kms/{{ .socket }}\n            {{- end }}\n' +
          '            {{- with .Values.jwksPublicURL }}\n            - --jwks-public-url={{ . }}\n            {{- end }}\n' +
          namespaceArgs +
          optionalItems(12, '.Values.controller.extraArgs'),
      ],
      ['--max-old-space-size=320', '--max-old-space-size={{ .Values.controller.maxOldSpaceSize }}'],
      [
        '              value: lti-key-operator-jwks\n',
        '              value: {{ .Values.namePrefix }}lti-key-operator-jwks{{ .Values.nameSuffix }}\n',
      ],
      resources(resourceBlock('100m', '192Mi', '2', '512Mi'), '.Values.controller.resources'),
      [
        kekMount + publishMount,
        `            {{- if .Values.kek.secretName }}\n${kekMount}            {{- end }}\n${publishMount}` +
          '            {{- if .Values.kek.kms }}\n            - name: kms\n              mountPath: /run/kms\n            {{- end }}\n' +
          optionalItems(12, '.Values.controller.extraVolumeMounts'),
      ],
      ['        - name: jwks\n', `${optionalItems(8, '.Values.controller.extraContainers')}        - name: jwks\n`],
      [
        kekVolume,
        '        {{- with .Values.kek.secretName }}\n' +
          `${kekVolume.replace('lti-key-operator-kek', '{{ . }}')}        {{- end }}\n`,
      ],
      [
        publishVolume,
        `${publishVolume}        {{- with .Values.kek.kms }}\n        - name: kms\n${valueBlock(10, '.volume')}        {{- end }}\n` +
          optionalItems(8, '.Values.controller.extraVolumes'),
      ],
    ],
  },
  {
    name: 'service',
    source: 'deploy/service.yaml',
    edits: [
      [
        '  selector:\n    app.kubernetes.io/name: lti-key-operator\n',
        '  selector:\n    {{- if not .Values.publishers.enabled }}\n    app.kubernetes.io/name: lti-key-operator\n' +
          '    {{- else if .Values.publishers.alone }}\n    app.kubernetes.io/name: lti-key-publisher\n' +
          '    {{- else }}\n    ltikeys.dev/serves: jwks\n    {{- end }}\n',
      ],
    ],
  },
  { name: 'poddisruptionbudget', source: 'deploy/poddisruptionbudget.yaml' },
  {
    name: 'networkpolicy',
    source: 'deploy/networkpolicy.yaml',
    when: '.Values.networkPolicy.enabled',
    edits: [
      apiServerEdit,
      [
        dnsPorts,
        `${dnsPorts}    {{- if .Values.publishers.enabled }}\n    # The leader requests the documents of each publisher.\n` +
          '    - to:\n        - podSelector:\n            matchLabels:\n              app.kubernetes.io/name: lti-key-publisher\n' +
          '      ports:\n        - port: http\n        - port: admin\n    {{- end }}\n',
      ],
    ],
  },
  {
    name: 'ingress',
    source: 'deploy/ingress/ingress.yaml',
    when: '.Values.ingress.enabled',
    edits: [
      [
        '  annotations:\n    # For cert-manager; omit it if the Secret comes from elsewhere.\n    cert-manager.io/cluster-issuer: letsencrypt\n',
        optionalBlock(2, 'annotations', '.Values.ingress.annotations'),
      ],
      [
        '  ingressClassName: nginx\n',
        '  {{- with .Values.ingress.className }}\n  ingressClassName: {{ . }}\n  {{- end }}\n',
      ],
      [
        '    - hosts: [keys.example.org]\n      secretName: keys-example-org-tls\n',
        '    - hosts: [{{ .Values.ingress.host }}]\n      secretName: {{ .Values.ingress.tlsSecretName }}\n',
      ],
      ['    - host: keys.example.org\n', '    - host: {{ .Values.ingress.host }}\n'],
    ],
  },
  {
    name: 'publisher-rbac',
    source: 'deploy/publisher/rbac.yaml',
    when: '.Values.publishers.enabled',
    edits: [binding('lti-key-publisher')],
  },
  {
    name: 'publisher-deployment',
    source: 'deploy/publisher/deployment.yaml',
    when: '.Values.publishers.enabled',
    edits: [
      ...podEdits,
      defaultContainer('jwks'),
      [
        '  replicas: 3\n',
        '  {{- if not .Values.publishers.autoscaling.enabled }}\n  replicas: {{ .Values.publishers.replicas }}\n  {{- end }}\n',
      ],
      [
        '            - --metrics-address=:8082\n',
        `            - --metrics-address=:8082\n${namespaceArgs}${optionalItems(12, '.Values.publishers.extraArgs')}`,
      ],
      ['--max-old-space-size=320', '--max-old-space-size={{ .Values.publishers.maxOldSpaceSize }}'],
      resources(resourceBlock('50m', '128Mi', '1', '512Mi'), '.Values.publishers.resources'),
    ],
  },
  {
    name: 'publisher-poddisruptionbudget',
    source: 'deploy/publisher/poddisruptionbudget.yaml',
    when: '.Values.publishers.enabled',
  },
  {
    name: 'publisher-networkpolicy',
    source: 'deploy/publisher/networkpolicy.yaml',
    when: 'and .Values.publishers.enabled .Values.networkPolicy.enabled',
    edits: [apiServerEdit],
  },
  {
    name: 'publisher-horizontalpodautoscaler',
    source: 'deploy/publisher/autoscaling/horizontalpodautoscaler.yaml',
    when: 'and .Values.publishers.enabled .Values.publishers.autoscaling.enabled',
    edits: [
      ['  minReplicas: 3\n', '  minReplicas: {{ .Values.publishers.autoscaling.minReplicas }}\n'],
      ['  maxReplicas: 10\n', '  maxReplicas: {{ .Values.publishers.autoscaling.maxReplicas }}\n'],
      ['averageValue: 500m', 'averageValue: {{ .Values.publishers.autoscaling.averageCPU }}'],
    ],
  },
  {
    name: 'podmonitor',
    source: 'deploy/monitoring/podmonitor.yaml',
    when: '.Values.monitoring.podMonitor.enabled',
    edits: [monitorLabels('podMonitor')],
  },
];

/** Its expressions are for Prometheus, so the chart has them in a file of its own, which Helm leaves as it is. */
const prometheusRule = `{{- if .Values.monitoring.prometheusRule.enabled }}
${prometheusRuleHead}${optionalItems(4, '.Values.monitoring.prometheusRule.labels')}spec:
  {{- .Files.Get "files/alerts.yaml" | nindent 2 }}
{{- end }}
`;

/** As configMapGenerator makes it in deploy/monitoring/kustomization.yaml. */
const dashboards = `{{- if .Values.monitoring.dashboards.enabled }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: lti-key-operator-dashboards
  namespace: lti-key-operator
  labels:
    app.kubernetes.io/name: lti-key-operator
${optionalItems(4, '.Values.monitoring.dashboards.labels')}data:
  lti-fleet.json: {{ .Files.Get "files/fleet.json" | toJson }}
  lti-registration.json: {{ .Files.Get "files/registration.json" | toJson }}
{{- end }}
`;

interface ChartFile {
  readonly file: string;
  readonly source: string;
  readonly text: () => Promise<string>;
}

export function chartFiles(): readonly ChartFile[] {
  const file = (path: string, source: string, textOf: (manifest: string) => string): ChartFile => ({
    file: `${chart}/${path}`,
    source,
    text: async () => `# Generated from ${source}: npm run generate.\n${textOf(await readFile(source, 'utf8'))}`,
  });
  return [
    ...templates.map((each) => file(`templates/${each.name}.yaml`, each.source, (text) => templateOf(each, text))),
    file('Chart.yaml', 'package.json', chartYaml),
    ...['ltiregistrations', 'ltikeys'].map((name) =>
      file(`templates/crd-${name}.yaml`, `crds/${name}.yaml`, crdTemplate),
    ),
    file('templates/prometheusrule.yaml', 'dev/generate/chart.ts', () => withFreeNames(prometheusRule)),
    file('templates/dashboards.yaml', 'dev/generate/chart.ts', () => withFreeNames(dashboards)),
    ...['fleet', 'registration'].map((name) => {
      const source = `deploy/monitoring/dashboards/${name}.json`;
      return { file: `${chart}/files/${name}.json`, source, text: () => readFile(source, 'utf8') };
    }),
    file('files/alerts.yaml', 'deploy/alerts.yaml', (text) => text.replace(/^(#.*\n)+/, '')),
  ];
}

function templateOf({ source, when, edits = [] }: Template, manifest: string): string {
  const edited = edits.reduce((text, edit) => replaceOnce(text, edit, source), withoutBraces(manifest, source));
  return when === undefined ? withFreeNames(edited) : `{{- if ${when} }}\n${withFreeNames(edited)}{{- end }}\n`;
}

function chartYaml(manifest: string): string {
  const { name, version, description }: { name: string; version: string; description: string } = JSON.parse(manifest);
  return `apiVersion: v2
name: ${name}
description: ${description}
type: application
version: ${version}
appVersion: ${version}
kubeVersion: '>=1.32.0-0'
`;
}

function crdTemplate(manifest: string): string {
  return `{{- if .Values.crds.enabled }}\n${withoutBraces(manifest, 'crds')}{{- end }}\n`;
}

function replaceOnce(text: string, [found, template]: Edit, source: string): string {
  const parts = text.split(found);
  if (parts.length !== 2) {
    throw new Error(
      `${source} has this text ${parts.length - 1} times, not once; change dev/generate/chart.ts:\n${found}`,
    );
  }
  return parts.join(template);
}

function withoutBraces(manifest: string, source: string): string {
  if (manifest.includes('{{')) throw new Error(`${source} has {{, which Helm would evaluate`);
  return manifest;
}

/** `$`, because some of it is inside `range`. */
function withFreeNames(text: string): string {
  return text
    .replaceAll(
      /^(\s*(?:- )?(?:name|serviceAccountName|policyName): )(lti-key-(?:operator|publisher)[\w-]*)$/gm,
      (_, key, name) => `${key}{{ $.Values.namePrefix }}${name}{{ $.Values.nameSuffix }}`,
    )
    .replaceAll(/^(\s*namespace: )lti-key-operator$/gm, '$1{{ $.Release.Namespace }}')
    .replaceAll(/^(\s*image: )lti-key-operator:\S+$/gm, '$1{{ include "lti-key-operator.image" $ }}')
    .replaceAll(/^(\s*imagePullPolicy: )IfNotPresent$/gm, '$1{{ $.Values.image.pullPolicy }}');
}
