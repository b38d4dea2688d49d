import type { LtiRegistration } from '../api/objects.ts';
import { conditionReasons, kekReasons, type Reason, sealReasons } from '../api/reasons.ts';

/** What is wrong with one registration, and what ends it. */
export interface Problem {
  readonly condition: string;
  readonly reason: string;
  readonly message: string;
  /** Empty where there is nothing to do but wait. */
  readonly remedy: string;
}

/** One registration in short, for tables and programs. Times are RFC 3339. */
export interface RegistrationSummary {
  readonly namespace: string;
  readonly name: string;
  readonly phase: string;
  readonly activeKey?: { readonly name: string; readonly keyID: string; readonly activatedAt?: string };
  readonly nextKey?: { readonly name: string; readonly keyID: string; readonly activateAfter?: string };
  readonly nextRotationTime?: string;
  readonly jwksURL?: string;
  readonly problems: readonly Problem[];
}

const reasons: Readonly<Record<string, Reason>> = { ...conditionReasons, ...kekReasons, ...sealReasons };
/** The status of each condition while all is well. */
const healthy: Readonly<Record<string, string>> = {
  Ready: 'True',
  Published: 'True',
  KeyMaterialAvailable: 'True',
  ActionRequired: 'False',
  RevocationEffective: 'True',
  Stalled: 'False',
};

export function summarize({ metadata, status }: LtiRegistration): RegistrationSummary {
  const problems = (status?.conditions ?? [])
    .filter(({ type, status: is }) => healthy[type] !== undefined && healthy[type] !== is)
    .map(({ type, reason, message }) => ({
      condition: type,
      reason,
      message,
      remedy: plainText(reasons[reason]?.remedy ?? ''),
    }));
  const { activeKey, nextKey, nextRotationTime, jwksURL } = status ?? {};
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    phase: status?.phase ?? 'Pending',
    ...(activeKey ? { activeKey } : {}),
    ...(nextKey ? { nextKey } : {}),
    ...(nextRotationTime === undefined ? {} : { nextRotationTime }),
    ...(jwksURL === undefined ? {} : { jwksURL }),
    problems: unique(problems),
  };
}

/** Conditions often share a cause: each cause is shown once. */
function unique(problems: readonly Problem[]): Problem[] {
  return [
    ...new Map(problems.toReversed().map((problem) => [problem.reason + problem.message, problem])).values(),
  ].toReversed();
}

/** Remedies are Markdown with links relative to docs/; those that leave it are to manifests of the repository. */
function plainText(markdown: string): string {
  return markdown
    .replaceAll(/\[([^\]]*)\]\(\.\.\/([^)]*)\)/g, '$2')
    .replaceAll(/\[([^\]]*)\]\((?!http)([^)]*)\)/g, 'docs/$2')
    .replaceAll('`', '');
}
