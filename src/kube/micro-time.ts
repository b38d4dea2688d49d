/** A Kubernetes `MicroTime`, as `2026-01-01T00:00:00.123000Z`: with another number of digits the API server answers 400. */
export function microTime(time: Date): string {
  return time.toISOString().replace('Z', '000Z');
}
