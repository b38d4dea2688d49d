import { expect } from 'chai';
import { type Part, together } from '../../../src/lib/together.ts';
import { settle } from '../../fakes/fake-clock.ts';

describe('together', () => {
  const stopped: string[] = [];
  beforeEach(() => void stopped.splice(0));

  /** Works until it is told to stop, and a moment longer. */
  const working = (name: string): Part => ({
    async run(signal) {
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      await settle();
      stopped.push(name);
    },
  });

  it('together ends when the signal has aborted and every part has ended', async () => {
    const stop = new AbortController();
    const running = together(stop.signal, [working('a'), working('b')]);
    stop.abort();
    await running;
    expect(stopped).to.deep.equal(['a', 'b']);
  });

  for (const [how, fail] of [
    ['rejects', () => Promise.reject(new Error('broken'))],
    [
      'throws at once',
      () => {
        throw new Error('broken');
      },
    ],
  ] as const) {
    it(`together stops the other parts when one ${how}, and throws its error once they have ended`, async () => {
      const problem = await together(new AbortController().signal, [working('a'), { run: fail }, working('b')]).then(
        () => expect.fail('it went on'),
        (error: unknown) => error,
      );
      expect(problem).to.be.instanceOf(Error).with.property('message', 'broken');
      expect(stopped).to.deep.equal(['a', 'b']);
    });
  }

  it('together throws the first error of several', async () => {
    const second: Part = {
      async run(signal) {
        await working('b').run(signal);
        throw new Error('second');
      },
    };
    const first: Part = { run: () => Promise.reject(new Error('first')) };
    const problem = await together(new AbortController().signal, [second, first]).catch((error: unknown) => error);
    expect(problem).to.have.property('message', 'first');
  });
});
