import { type Clock, sleep } from '../../src/lib/clock.ts';
import type { Narrator } from './narrator.ts';
import type { Tally } from './tally.ts';
import { signAssertion, type Tool } from './tool.ts';
import type { Verifier } from './verifiers.ts';

const periodMs = 1000;

export interface TokenCheckOptions {
  readonly tool: Tool;
  readonly verifiers: readonly Verifier[];
  readonly tally: Tally;
  readonly narrator: Narrator;
  readonly clock: Clock;
}

/** Every second until `signal` aborts: mount, sign, have it verified by all. A rejection is reported at once. */
export async function checkTokens(
  { tool, verifiers, tally, narrator, clock }: TokenCheckOptions,
  signal: AbortSignal,
): Promise<void> {
  const start = clock.monotonic();
  for (let tick = 1; !signal.aborted; tick += 1) {
    await tool.mount();
    const key = tool.key();
    const token = await signAssertion(key);
    const signedAt = narrator.elapsed();
    const refusals = await Promise.all(verifiers.map((verifier) => verifier.refusal(token, key)));
    // A check that was aborted has no verdict on the token.
    if (signal.aborted) return;
    const outcome = tally.note(
      key.keyID,
      signedAt,
      refusals.every((refusal) => refusal === undefined),
    );
    if (outcome === 'rejected') {
      const said = refusals.flatMap((refusal, at) =>
        refusal === undefined ? [] : `${verifiers[at]?.name}: ${refusal}`,
      );
      narrator.say(`REJECTED: a token of key ${key.keyID}, by ${said.join('; by ')}.`);
    }
    await sleep(clock, start + tick * periodMs - clock.monotonic(), signal);
  }
}
