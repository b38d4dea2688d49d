/** Runs at most `slots` tasks at once; the others wait in the order they came. */
export function limitConcurrency(slots: number): <T>(task: () => Promise<T>) => Promise<T> {
  let free = slots;
  const waiting: (() => void)[] = [];
  return async (task) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await task();
    } finally {
      // A slot is handed straight to the next in line, so a newcomer cannot overtake.
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    }
  };
}
