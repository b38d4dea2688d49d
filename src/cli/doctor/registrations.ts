import { ltiRegistrations } from '../../api/names.ts';
import type { LtiRegistration } from '../../api/objects.ts';
import { kekReasons, sealReasons } from '../../api/reasons.ts';
import type { KubeClient } from '../../kube/client.ts';
import { ApiError, isRefusal } from '../../kube/errors.ts';
import { type RegistrationSummary, summarize } from '../summary.ts';
import { failed, type Finding, passed, unknown, warning } from './finding.ts';

/** Checks of the conditions of registrations, in all namespaces if the user may list them. */

const keyReasons: ReadonlySet<string> = new Set([...Object.keys(kekReasons), ...Object.keys(sealReasons)]);

export async function checkRegistrations(client: KubeClient, namespace: string): Promise<readonly Finding[]> {
  const read = await readable(client, namespace);
  if (read instanceof ApiError) {
    const remedy = 'ask for the role view of the namespaces, and choose one with -n';
    return [{ check: 'registrations', ...unknown(read.message, remedy) }];
  }
  const { objects, where } = read;
  const summaries = objects.map(summarize);
  return [checkKeks(summaries, where), checkConditions(summaries, where)];
}

interface Read {
  readonly objects: readonly LtiRegistration[];
  readonly where: string;
}

async function readable(client: KubeClient, namespace: string): Promise<Read | ApiError> {
  const all = await listOrRefusal(client, undefined);
  if (!(all instanceof ApiError)) return { objects: all, where: 'in all namespaces' };
  const some = await listOrRefusal(client, namespace);
  if (some instanceof ApiError) return some;
  return { objects: some, where: `in namespace ${namespace}, the only one that was read` };
}

async function listOrRefusal(
  client: KubeClient,
  namespace: string | undefined,
): Promise<readonly LtiRegistration[] | ApiError> {
  try {
    return (await client.list<LtiRegistration>(ltiRegistrations, { namespace })).items;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return error;
  }
}

function checkKeks(summaries: readonly RegistrationSummary[], where: string): Finding {
  const check = 'key-encryption keys';
  const problems = summaries.flatMap(({ problems: each }) => each).filter(({ reason }) => keyReasons.has(reason));
  const [first] = problems;
  if (!first) return { check, ...passed(`no registration reports a problem with its sealed keys ${where}`) };
  const affected = summaries.filter((each) => each.problems.some(({ reason }) => keyReasons.has(reason))).length;
  const detail = `${affected} registrations ${where}: ${first.reason}: ${first.message}`;
  return { check, ...failed(detail, `${first.remedy} See kubectl lti kek status.`.trim()) };
}

function checkConditions(summaries: readonly RegistrationSummary[], where: string): Finding {
  const check = 'registrations';
  const troubled = summaries.filter(({ problems }) => problems.length > 0);
  if (troubled.length === 0) return { check, ...passed(`none of ${summaries.length} has a problem ${where}`) };
  const names = troubled.slice(0, 5).map(({ namespace, name }) => `${namespace}/${name}`);
  const more = troubled.length > names.length ? ` and ${troubled.length - names.length} more` : '';
  return {
    check,
    ...warning(
      `${troubled.length} of ${summaries.length} have a problem ${where}: ${names.join(', ')}${more}`,
      'see kubectl lti status -A',
    ),
  };
}
