import { registrationLabel } from '../../src/api/names.ts';
import type { KeyState } from '../../src/domain/key-state.ts';
import type { ControlPlane } from '../control-plane/control-plane.ts';
import type { Narrator } from './narrator.ts';

const meaning: Readonly<Record<KeyState, string>> = {
  Next: 'is made and being published; it does not sign yet',
  Active: 'signs from now on',
  Retiring: 'no longer signs, and stays published for its overlap',
  Retired: 'is retired: it leaves the JWKS and its private half is destroyed',
  Revoked: 'is revoked: it leaves the JWKS and its private half is destroyed',
};

/** Changes this close together are one event, such as one key that takes over from another. */
const togetherMs = 300;

export interface KeyChangesOptions {
  readonly controlPlane: ControlPlane;
  readonly narrator: Narrator;
  readonly namespace: string;
  readonly registration: string;
}

/** Prints each change of the followed keys: a sentence, and then what kubectl shows. */
export class KeyChanges {
  readonly #options: KeyChangesOptions;
  #told: Promise<void> = Promise.resolve();
  #waiting: string[] = [];
  #begun = false;

  constructor(options: KeyChangesOptions) {
    this.#options = options;
  }

  /** Changes before this call are not printed. */
  begin(): void {
    this.#begun = true;
  }

  add(name: string, state: KeyState): void {
    if (!this.#begun) return;
    this.#waiting.push(`${name} ${meaning[state]}.`);
    if (this.#waiting.length === 1) this.#told = this.#told.then(() => this.#tell());
    // settled() reports the error.
    this.#told.catch(() => undefined);
  }

  /** Resolves when everything that was added is printed. */
  settle(): Promise<void> {
    return this.#told;
  }

  async #tell(): Promise<void> {
    const { controlPlane, narrator, namespace, registration } = this.#options;
    await new Promise((resolve) => setTimeout(resolve, togetherMs));
    for (const sentence of this.#waiting.splice(0)) narrator.say(sentence);
    const selector = `${registrationLabel}=${registration}`;
    await narrator.kubectl(controlPlane, ['get', 'ltikeys', '--namespace', namespace, '--selector', selector]);
  }
}
