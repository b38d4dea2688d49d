import { expect } from 'chai';
import { DurationError, formatDuration, formatInstant, parseDuration } from '../../../src/domain/duration.ts';
import { accepted, refused } from '../../builders/durations.ts';

describe('A duration', () => {
  for (const [text, milliseconds] of accepted) {
    it(`"${text}" is parsed as ${milliseconds} ms, as by the API server`, () => {
      expect(parseDuration(text)).to.equal(milliseconds);
    });
  }

  for (const text of refused) {
    it(`${JSON.stringify(text)} is rejected, as by the API server, and the error says what to write`, () => {
      expect(() => parseDuration(text)).to.throw(
        DurationError,
        `"${text}" is not a duration: write whole numbers with the units w, d, h, m or s, such as 90d or 1d12h`,
      );
    });
  }

  for (const [milliseconds, text] of [
    [0, '0s'],
    [499, '0s'],
    [500, '1s'],
    [59_999, '1m'],
    [90_000, '1m30s'],
    [7 * 86_400_000, '7d'],
    [90 * 86_400_000 + 3_600_000, '90d1h'],
  ] as const) {
    it(`A duration of ${milliseconds} ms is formatted as ${text}`, () => {
      expect(formatDuration(milliseconds)).to.equal(text);
    });
  }

  it('A duration has the same length after it was formatted and parsed', () => {
    for (const [, milliseconds] of accepted) {
      const text = formatDuration(milliseconds);
      if (text.length <= 24) expect(parseDuration(text), text).to.equal(milliseconds);
    }
  });

  it('A duration has no part in times, which are formatted in UTC with whole seconds', () => {
    expect(formatInstant(Date.parse('2026-03-01T02:00:00.999+02:00'))).to.equal('2026-03-01T00:00:00Z');
  });
});
