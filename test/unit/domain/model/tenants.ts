import { canonical } from './canonical.ts';
import {
  environmentSteps,
  isWithinBounds,
  type Kind,
  synchronizeReplicas,
  withPair,
  type Step,
} from './environment.ts';
import { checkRevocations, settle } from './progress.ts';
import { attempt, type Found, operatorSteps, type Visit } from './search.ts';
import { observed, type World } from './world.ts';

/** Two registrations of one namespace: whatever happens to the first, the keys of the second rotate as they should. */
interface Tenants {
  readonly troubled: World;
  readonly other: World;
}

/** They share the time and the names of Secrets; a write to a Secret of the other one is a conflict and fails. */
function together({ troubled, other }: Tenants): Tenants {
  return {
    troubled: { ...troubled, taken: new Set(other.secrets.keys()) },
    other: observed({ ...other, real: troubled.real, taken: new Set(troubled.secrets.keys()) }),
  };
}

export function searchTenants(start: Tenants, kinds: readonly Kind[], maximumWorlds: number): Found {
  const seen = new Set<string>();
  const settling = new Set<string>();
  const revoking = new Set<string>();
  let level: Visit<Tenants>[] = [{ world: together(start), label: 'the beginning', from: undefined }];
  let steps = 0;
  while (level.length > 0 && seen.size < maximumWorlds) {
    const next: Visit<Tenants>[] = [];
    for (const visit of level) {
      for (const [label, after] of attempt(visit, 'an operator looks', () => stepsOf(visit.world, kinds))) {
        steps++;
        const world = together(after);
        const text = `${canonical(world.troubled)}#${canonical(world.other)}`;
        if (seen.has(text)) continue;
        seen.add(text);
        const reached = { world, label, from: visit };
        attempt(reached, 'the other one, once all is well', () => settle(world.other, settling));
        attempt(reached, 'the other one, a minute later', () => checkRevocations(world.other, revoking));
        if (isWithinBounds(world.troubled) && isWithinBounds(world.other)) next.push(reached);
      }
    }
    level = next;
  }
  return { worlds: seen.size, steps };
}

function stepsOf({ troubled, other }: Tenants, kinds: readonly Kind[]): (readonly [string, Tenants])[] {
  const first: Step[] = [...operatorSteps(troubled), ...environmentSteps(troubled, kinds)];
  const second: Step[] = [...operatorSteps(other), ['its replicas catch up', synchronizeReplicas(other)]];
  if (other.generating !== undefined) second.push(['its key pair is ready', withPair(other, other.generating)]);
  return [
    ...first.map(([label, after]) => [label, { troubled: after, other }] as const),
    ...second.map(([label, after]) => [`the other: ${label}`, { troubled, other: after }] as const),
  ];
}
