import type { LtiKey } from '../../src/api/objects.ts';
import type { KeyState } from '../../src/domain/key-state.ts';

export interface KeyRecord {
  readonly name: string;
  readonly revision: number;
  readonly keyID: string;
  /** Milliseconds since the start of the demo, when its LtiKey was first seen. */
  readonly madeAt: number;
  /** Every state that was seen, in order. */
  readonly states: KeyState[];
}

/** The keys of one registration and the states that each reached, as a watch of LtiKeys reports them. */
export class KeyHistory {
  readonly #records = new Map<string, KeyRecord>();

  /** Returns whether anything is new. */
  note({ metadata, spec, status }: LtiKey, at: number): boolean {
    const { revision, keyID } = spec;
    const record = this.#records.get(metadata.name) ?? { name: metadata.name, revision, keyID, madeAt: at, states: [] };
    this.#records.set(metadata.name, record);
    if (status?.state === undefined || record.states.at(-1) === status.state) return false;
    record.states.push(status.state);
    return true;
  }

  all(): readonly KeyRecord[] {
    return [...this.#records.values()].toSorted((a, b) => a.revision - b.revision);
  }

  /** Undefined before the key is made. */
  state(name: string): KeyState | undefined {
    return this.#records.get(name)?.states.at(-1);
  }

  /** Empty before the key is made. */
  keyID(name: string): string {
    return this.#records.get(name)?.keyID ?? '';
  }
}
