/**
 * Durations in the format of `spec.rotateAfter`, `activationDelay` and `overlap`. The API server
 * (test/apiserver/crd-validation.test.ts) and the parser (test/unit/domain/duration.test.ts) are tested with the same lists.
 */

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** Accepted durations with their milliseconds. Units may come in any order and more than once. */
export const accepted: readonly (readonly [text: string, milliseconds: number])[] = [
  ['90d', 90 * day],
  ['24h', 24 * hour],
  ['1w', 7 * day],
  ['90m', 90 * minute],
  ['45s', 45 * second],
  ['0s', 0],
  ['0d0h', 0],
  ['007d', 7 * day],
  ['1d12h', 36 * hour],
  ['12h1d', 36 * hour],
  ['1d1d', 2 * day],
  ['1w2d3h4m5s', 9 * day + 3 * hour + 4 * minute + 5 * second],
  ['5s1w', 7 * day + 5 * second],
  ['1d1h1m1s1d1h1m1s1d1h1m1s', 3 * (day + hour + minute + second)],
  ['99999s', 99_999 * second],
  ['99999m', 99_999 * minute],
  ['87599h', 87_599 * hour],
  ['3649d', 3649 * day],
  ['521w', 521 * 7 * day],
];

/**
 * Rejected durations. The number of digits is limited so that every sum, in 24 characters, stays below 2^63 nanoseconds: the API
 * server reads 30501w as 3 days, and 100 characters of large counts as an arbitrary value.
 */
export const refused: readonly string[] = [
  '',
  ' ',
  'd',
  '90',
  '90 d',
  ' 90d',
  '90d ',
  '90d\n',
  '90D',
  '90days',
  'about 90d',
  '1d,12h',
  '1d 12h',
  '0.5d',
  '1.5h',
  '.5h',
  '1e3s',
  '-1d',
  '1d-1h',
  '+1d',
  'P90D',
  '1y',
  '1mo',
  '1ms',
  '1us',
  '1µs',
  '1ns',
  '９０d',
  '1000w',
  '30501w',
  '10000d',
  '100000h',
  '100000m',
  '100000s',
  '99999999999999999999s',
  '1d1h1m1s1d1h1m1s1d1h1m1s1s',
];
