import { canonical } from './canonical.ts';
import {
  environmentSteps,
  everyKind,
  isWithinBounds,
  type Kind,
  lateStep,
  operatorSteps,
  type Step,
} from './environment.ts';
import { checkWorld, checkWrite } from './invariants.ts';
import { checkRevocation, checkSettles } from './progress.ts';
import type { World } from './world.ts';

export interface Found {
  readonly worlds: number;
  readonly steps: number;
  /** Refusals of a ledger write that was decided on an older ledger. */
  readonly conflicts: number;
}

interface Visit {
  readonly world: World;
  readonly label: string;
  readonly from: Visit | undefined;
}

/** Breadth first through every world that can come about; throws the shortest way to one that must not. */
export function search(start: World, kinds: readonly Kind[] = everyKind): Found {
  const seen = new Set([canonical(start)]);
  const settling = new Set<string>();
  // What may still be disturbed and what a late controller read make no difference to what has to hold.
  const checked = new Set<string>();
  let level: Visit[] = [{ world: start, label: 'the beginning', from: undefined }];
  let steps = 0;
  let conflicts = 0;
  while (level.length > 0) {
    const next: Visit[] = [];
    for (const visit of level) {
      const { world } = visit;
      const enter = ([label, after]: Step, decidedIn = world): void => {
        steps++;
        const reached = { world: after, label, from: visit };
        if (after.ledger !== world.ledger) fail(checkWrite(decidedIn, after), reached);
        const text = canonical(after);
        if (seen.has(text)) return;
        seen.add(text);
        const { earlier: _, ...alone } = after;
        const situation = canonical({ ...alone, disturbances: 0 });
        if (!checked.has(situation)) {
          checked.add(situation);
          fail(checkWorld(after) ?? checkSettles(after, settling) ?? checkRevocation(after), reached);
        }
        if (isWithinBounds(after)) next.push(reached);
      };
      const own = operatorSteps(world);
      for (const step of own) {
        enter(step);
        if (step[1].ledger === world.ledger) continue;
        if (lateStep(world, step[1])) fail('a ledger that was no longer the stored one was replaced', visit);
        conflicts++;
      }
      for (const [label, after] of environmentSteps(world, kinds)) {
        enter([label, after]);
        const late =
          after.real === world.real && own[0]?.[0] === 'write the ledger' ? lateStep(world, after) : undefined;
        if (late) enter([`${label}, then what was decided before is written`, late], { ...world, real: after.real });
      }
    }
    level = next;
  }
  return { worlds: seen.size, steps, conflicts };
}

function fail(fault: string | undefined, visit: Visit): void {
  if (fault === undefined) return;
  const way: string[] = [];
  for (let at: Visit | undefined = visit; at; at = at.from) way.unshift(at.label);
  throw Object.assign(new Error(`${fault}, after: ${way.join(' → ')}`), { visit });
}
