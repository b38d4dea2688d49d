/** The smallest figure that at least this share of the figures does not exceed. */
export function quantile(figures: readonly number[], of: number): number {
  return figures.toSorted((a, b) => a - b)[Math.ceil(figures.length * of) - 1] ?? Number.NaN;
}
