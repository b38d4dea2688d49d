import { registrationDefinitionName } from '../api/names.ts';
import { type Duration, formatInstant, type Instant, second } from './duration.ts';
import type { Ledger } from './ledger.ts';
import type { Registration } from './registration.ts';
import type { Fault, Gone, LastSpec } from './situation.ts';

/**
 * Whether a user deleted a registration that the API server no longer has. The deletion of its CustomResourceDefinition deletes all
 * registrations, too, and one that is installed again has none. Neither is a request to destroy keys.
 */

export function deletionPolicyOf(ledger: Ledger, last: LastSpec | undefined): Registration['deletionPolicy'] {
  return last?.deletionPolicy ?? ledger.deletionPolicy;
}

/** Why the registration may be gone without a deletion by a user; `undefined` if that is ruled out. */
export function deletionDoubt(gone: Gone, ledger: Ledger): Fault | undefined {
  const because = doubt(gone, ledger);
  if (because === undefined) return undefined;
  const message = `registration ${ledger.registration} does not exist and had deletionPolicy Delete, but the key stays as it is, because ${because}`;
  return { reason: 'DeletionUnconfirmed', message };
}

const definitionName = `CustomResourceDefinition ${registrationDefinitionName}`;
const remedy =
  'Apply the registration again to continue with its keys. To destroy them, apply it again, wait until it is Ready, then delete it';

function doubt(gone: Gone, ledger: Ledger): string | undefined {
  const { definition } = gone;
  if (!definition) return `${definitionName} was not read. ${remedy}`;
  switch (definition.kind) {
    case 'unreadable':
      return `the operator cannot read ${definitionName}, whose deletion also deletes every registration: ${definition.because}. The operator retries, and completes the deletion once it can read it. If it lacks the permission, apply deploy/rbac.yaml`;
    case 'absent':
      return `${definitionName} does not exist, and its deletion deleted every registration. ${remedy}`;
    default: {
      const { createdAt, isTerminating } = definition;
      if (isTerminating) return `${definitionName} is being deleted, which deletes every registration. ${remedy}`;
      if (existedUnder(createdAt, gone, ledger)) return undefined;
      return `${definitionName} was created at ${formatInstant(createdAt)}, and the registration is not known to have existed since. ${remedy}`;
    }
  }
}

/**
 * Timestamps of the API server have whole seconds, and the times of the ledger come from the operator's clock, which is used as it
 * is while it seems to be wrong by less than two seconds.
 */
const clockAccuracy: Duration = 5 * second;

/** Whether the registration existed after the CustomResourceDefinition was created. */
function existedUnder(createdAt: Instant, { lastCreatedAt }: Gone, ledger: Ledger): boolean {
  if (lastCreatedAt !== undefined) return lastCreatedAt >= createdAt;
  return ledger.keys.some(({ createdAt: made, publishedAt = made, activatedAt = made }) =>
    [made, publishedAt, activatedAt].some((time) => time >= createdAt + clockAccuracy),
  );
}
