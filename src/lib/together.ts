export interface Part {
  /** Works until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/**
 * Runs the parts of a process concurrently until all have ended. If one fails, the signals of the others abort, and its error is
 * thrown after they have ended: a process that lacks a part must exit, not appear healthy.
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
