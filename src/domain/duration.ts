/** Milliseconds. */
export type Duration = number;
/** Milliseconds since the Unix epoch. */
export type Instant = number;

export const second: Duration = 1000;
export const minute: Duration = 60 * second;
export const hour: Duration = 60 * minute;
export const day: Duration = 24 * hour;

const unitLength: Readonly<Record<string, Duration>> = { w: 7 * day, d: day, h: hour, m: minute, s: second };
/** At most as many digits as keep every value below 292 years, the maximum of the API server's 64 bits of nanoseconds. */
const wholeText = /^(?:[0-9]{1,3}w|[0-9]{1,4}d|[0-9]{1,5}[hms])+$/;
const maximumLength = 24;

export class DurationError extends Error {
  override readonly name = 'DurationError';
}

/**
 * Parses the durations of the API: one or more whole numbers, each with a unit of `w`, `d`, `h`, `m` or `s`, as in `90d`
 * or `1d12h`. The schema's `format: duration` and `pattern` accept exactly the same texts
 * (crds/ltiregistrations.yaml; test/apiserver/crd-validation.test.ts compares the two).
 */
export function parseDuration(text: string): Duration {
  if (!wholeText.test(text) || text.length > maximumLength) {
    throw new DurationError(
      `"${text}" is not a duration: write whole numbers with the units w, d, h, m or s, such as 90d or 1d12h`,
    );
  }
  let total = 0;
  for (const [, count, unit] of text.matchAll(/([0-9]+)([wdhms])/g)) total += Number(count) * unitLength[unit!]!;
  return total;
}

/** Formats a duration in the notation of the API: `90d`, `1h30m`, `0s`; rounded to seconds. */
export function formatDuration(duration: Duration): string {
  let left = Math.round(duration / second) * second;
  let text = '';
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const count = Math.floor(left / unitLength[unit]!);
    if (count > 0) text += `${count}${unit}`;
    left -= count * unitLength[unit]!;
  }
  return text || '0s';
}

/** RFC 3339 in UTC with whole seconds, as the Kubernetes API writes times. */
export function formatInstant(instant: Instant): string {
  return new Date(instant).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
