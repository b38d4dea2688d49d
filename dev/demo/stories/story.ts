import type { ControlPlane } from '../../control-plane/control-plane.ts';
import type { KeyHistory } from '../key-history.ts';
import type { Narrator } from '../narrator.ts';
import type { Operator } from '../operator.ts';
import type { ServedKeys } from '../served-keys.ts';
import type { Tally } from '../tally.ts';
import type { Tool } from '../tool.ts';

/** One tale of the demo: how time is shortened for it, and what happens once every registration is Ready. */
export interface Story {
  /** Continues "LTI key operator: ". */
  readonly title: string;
  /** `spec` of every registration, in the API's notation. */
  readonly durations: { readonly rotateAfter: string; readonly activationDelay: string; readonly overlap: string };
  /** Resolves at the end of the tale; rejects when something did not come about. */
  run(scene: Scene): Promise<void>;
}

/** Where stories happen. */
export interface Stage {
  readonly controlPlane: ControlPlane;
  readonly operator: Operator;
  readonly narrator: Narrator;
  /** Aborting it ends the background work. */
  readonly signal: AbortSignal;
}

/** What a story plays with. All that is not the stage concerns the one registration that is followed closely. */
export interface Scene extends Stage {
  readonly namespace: string;
  readonly registration: string;
  readonly jwksUrl: string;
  readonly keys: KeyHistory;
  readonly served: ServedKeys;
  readonly tool: Tool;
  readonly tally: Tally;
  /** Changes the spec of the registration, as an edit in Git would. */
  readonly edit: (spec: Readonly<Record<string, unknown>>) => Promise<void>;
  /** Waits for the condition. @throws Error that says what did not happen, and the words of the registration's status */
  readonly until: (what: string, condition: () => boolean | Promise<boolean>) => Promise<void>;
}
