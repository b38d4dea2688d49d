import type { Command } from 'commander';
import { operatorName } from '../../api/names.ts';
import type { KubeClient } from '../../kube/client.ts';
import { isRefusal } from '../../kube/errors.ts';
import type { Cluster, ClusterOptions } from '../cluster.ts';
import { describedCommand, onCluster, withClusterOptions, withOutput } from '../command.ts';
import { type Deployment, findDeployment } from '../deployment.ts';
import type { Finding } from '../doctor/finding.ts';
import {
  checkClock,
  checkCrds,
  checkDeployment,
  checkLease,
  checkMonitors,
  checkService,
  checkVersions,
  serviceName,
  watchedNamespaces,
} from '../doctor/installation.ts';
import { checkPolicies } from '../doctor/policies.ts';
import { checkRegistrations } from '../doctor/registrations.ts';
import { checkOperatorRights, checkOwnRights } from '../doctor/rights.ts';
import { CliError, exitCodes } from '../exit-codes.ts';
import { formatTable, formatValue, type OutputFormat, toned } from '../output.ts';
import type { Terminal } from '../terminal.ts';

interface DoctorOptions extends ClusterOptions {
  readonly output: OutputFormat;
  readonly operatorNamespace: string;
}

export function doctorCommand(terminal: Terminal): Command {
  const command = describedCommand({
    usage: 'doctor',
    summary: 'Check the installation of the operator, and what it depends on.',
    details:
      'It checks the CRDs, the Deployment and its version, the leader, the endpoints of the JWKS Service, the admission policies, rights, clocks, key-encryption keys and monitors, and changes nothing. A check is unknown if you may not read what it needs. Exits with code 3 if a check fails.',
    examples: [
      ['kubectl lti doctor', 'Check the installation in namespace lti-key-operator'],
      ['kubectl lti doctor --operator-namespace keys -o json', 'Check another installation, for a program'],
    ],
  });
  return withOutput(withClusterOptions(command), ['table', 'json', 'yaml'])
    .option('--operator-namespace <namespace>', 'The namespace of the operator.', operatorName)
    .action(
      onCluster<DoctorOptions>(
        terminal,
        async (cluster, options) => {
          const findings = await examineAll(cluster, options.operatorNamespace, terminal);
          terminal.out(render(findings, options.output, terminal));
          const failures = findings.filter(({ result }) => result === 'failed').length;
          if (failures > 0) {
            throw new CliError(`${failures} of ${findings.length} checks failed`, exitCodes.problemFound);
          }
        },
        { anyVersion: true },
      ),
    );
}

async function examineAll(
  { client, namespace }: Cluster,
  operatorNamespace: string,
  { clock }: Terminal,
): Promise<readonly Finding[]> {
  const crds = await checkCrds(client);
  const deployment = await readDeployment(client, operatorNamespace);
  const found = deployment === 'unreadable' ? undefined : deployment;
  const account = found?.spec.template.spec.serviceAccountName ?? operatorName;
  return [
    crds,
    ...(deployment === 'unreadable' ? [unreadableDeployment(operatorNamespace)] : []),
    ...(deployment === 'unreadable' ? [] : [await checkDeployment(operatorNamespace, deployment)]),
    ...(found ? [await checkVersions(found)] : []),
    await checkLease(client, operatorNamespace, clock),
    await checkService(client, operatorNamespace, serviceName(found)),
    await checkPolicies(client, operatorNamespace, account),
    await checkOperatorRights(client, { namespace: operatorNamespace, account }, watchedNamespaces(found)),
    await checkOwnRights(client, namespace),
    await checkClock(client),
    ...(crds.result === 'passed' ? await checkRegistrations(client, namespace) : []),
    await checkMonitors(client, operatorNamespace),
  ];
}

async function readDeployment(client: KubeClient, namespace: string): Promise<Deployment | 'unreadable' | undefined> {
  try {
    return await findDeployment(client, namespace);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return 'unreadable';
  }
}

function unreadableDeployment(namespace: string): Finding {
  return {
    check: 'Deployment',
    result: 'unknown',
    detail: `you may not list the Deployments of namespace ${namespace}; the other checks assume the defaults of deploy/`,
    remedy: 'ask an administrator for this right, or to run kubectl lti doctor',
  };
}

const tones = { passed: 'good', warning: 'warning', failed: 'bad', unknown: 'quiet' } as const;

function render(findings: readonly Finding[], output: OutputFormat, terminal: Terminal): string {
  if (output === 'json' || output === 'yaml') return formatValue(output, { checks: findings });
  const rows = findings.map(({ check, result, detail }) => [check, toned(terminal, tones[result], result), detail]);
  const remedies = findings.flatMap(({ check, remedy }) => (remedy === undefined ? [] : [`${check}: ${remedy}\n`]));
  const table = formatTable(['CHECK', 'RESULT', 'DETAIL'], rows);
  return remedies.length === 0 ? table : `${table}\nWhat to do:\n${remedies.map((each) => `  ${each}`).join('')}`;
}
