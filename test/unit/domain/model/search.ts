import { canonical } from './canonical.ts';
import { environmentSteps, isWithinBounds, type Kind, later, restarted, type Step } from './environment.ts';
import { actLate, reconcile } from './executor.ts';
import { checkRevocations, settle } from './progress.ts';
import { tick, type World } from './world.ts';

export interface Found {
  readonly worlds: number;
  readonly steps: number;
}

export interface Options {
  readonly kinds: readonly Kind[];
  /** Whether a second controller acts on a stale state. */
  readonly late?: boolean;
  /** The search ends with the level that reaches this number. */
  readonly maximumWorlds?: number;
}

export interface Visit<Kept = World> {
  readonly world: Kept;
  readonly label: string;
  readonly from: Visit<Kept> | undefined;
}

/** Searches every reachable world, breadth first; throws with the shortest trace to a violation. */
export function search(start: World, { kinds, late = false, maximumWorlds = Infinity }: Options): Found {
  const seen = new Set([canonical(start)]);
  const settling = new Set<string>();
  const revoking = new Set<string>();
  let level: Visit[] = [{ world: start, label: 'the beginning', from: undefined }];
  let steps = 0;
  while (level.length > 0 && seen.size < maximumWorlds) {
    const next: Visit[] = [];
    for (const visit of level) {
      const { world } = visit;
      const enter = ([label, after]: Step): void => {
        steps++;
        const text = canonical(after);
        if (seen.has(text)) return;
        seen.add(text);
        const reached = { world: after, label, from: visit };
        attempt(reached, 'once all is well', () => settle(after, settling));
        attempt(reached, 'a minute later', () => checkRevocations(after, revoking));
        if (isWithinBounds(after)) next.push(reached);
      };
      const away = attempt(visit, 'the operator looks', () => operatorSteps(world));
      for (const step of away) enter(step);
      for (const step of environmentSteps(world, kinds)) {
        enter(step);
        if (!late || step[1].real !== world.real) continue;
        const acts = `${step[0]}, and a controller that had looked before acts`;
        for (const [effect, after] of attempt(visit, acts, () => actLate(world, step[1])))
          enter([`${acts}: ${effect}`, after]);
      }
    }
    level = next;
  }
  return { worlds: seen.size, steps };
}

/** A complete reconcile, and one that ends after any of its effects: the process is killed, or the answer of the API server is lost. */
export function operatorSteps(world: World): Step[] {
  const steps: Step[] = [];
  const { generating, pair } = world;
  const { world: after, decision } = reconcile(world, {
    crash: (effect, at) => {
      steps.push([`${effect}, and the process is killed`, restarted(at)]);
      // The process does not know that the ledger has its key pair.
      if (effect === 'writeLedger' && pair && !at.pair)
        steps.push([`${effect}, and the answer is lost`, { ...at, generating, pair }]);
    },
  });
  steps.push(['the operator looks', after]);
  const ticks = after === world && decision?.nextCheckAt !== undefined ? (decision.nextCheckAt - world.real) / tick : 0;
  if (ticks > 1) steps.push(['the next check is due', later(world, Math.ceil(ticks))]);
  return steps;
}

export function attempt<T, Kept>(visit: Visit<Kept>, last: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    const way: string[] = [last];
    for (let at: Visit<Kept> | undefined = visit; at; at = at.from) way.unshift(at.label);
    throw Object.assign(new Error(`${(error as Error).message}, after: ${way.join(' → ')}`, { cause: error }), {
      visit,
    });
  }
}
