import { once } from 'node:events';

/** Key presses that a test types, for `Terminal.keyPresses`. */
export class TypedKeys {
  readonly #typed: string[] = [];
  readonly #news = new EventTarget();

  type(keys: string): void {
    this.#typed.push(...keys.split(''));
    this.#news.dispatchEvent(new Event('typed'));
  }

  readonly presses = async function* (this: TypedKeys, signal: AbortSignal): AsyncGenerator<string> {
    while (!signal.aborted) {
      const next = this.#typed.shift();
      if (next !== undefined) yield next;
      else await once(this.#news, 'typed', { signal }).catch(() => undefined);
    }
  }.bind(this);
}
