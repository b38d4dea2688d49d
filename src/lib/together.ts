export interface Part {
  /** Works until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/**
 * Runs the parts of a process side by side until all have ended. When one fails, the others are told to stop, and its error is
 * thrown once they have: a process of which a part is missing must end, not look alive.
 */
export async function together(signal: AbortSignal, parts: readonly Part[]): Promise<void> {
  const failed = new AbortController();
  const stop = AbortSignal.any([signal, failed.signal]);
  const run = async (part: Part): Promise<void> => {
    try {
      await part.run(stop);
    } catch (error) {
      failed.abort(error);
    }
  };
  await Promise.all(parts.map(run));
  if (failed.signal.aborted) throw failed.signal.reason;
}
