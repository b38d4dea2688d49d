/** The PrometheusRule without its spec. */
export const prometheusRuleHead = `apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: lti-key-operator
  namespace: lti-key-operator
  labels:
    app.kubernetes.io/name: lti-key-operator
`;

/**
 * The PrometheusRule of deploy/monitoring: the groups of deploy/alerts.yaml, comments included, two levels deeper.
 *
 * @throws Error if the rule file has no line `groups:`
 */
export function prometheusRule(source: string, rules: string): string {
  const start = rules.indexOf('\ngroups:\n');
  if (start < 0) throw new Error(`${source} needs the line groups:`);
  const groups = rules.slice(start + 1).replaceAll(/^(?=.)/gm, '  ');
  return `# Generated from ${source}: npm run generate.
${prometheusRuleHead}spec:
${groups}`;
}
