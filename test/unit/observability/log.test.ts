import { expect } from 'chai';

import { ApiError } from '../../../src/kube/errors.ts';
import {
  createLogger,
  type LogFields,
  type LogFormat,
  type Logger,
  type LogLevel,
} from '../../../src/observability/log.ts';

function capture(format: LogFormat, level: LogLevel = 'debug'): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const log = createLogger({ level, format, destination: { write: (line) => void lines.push(line) } });
  return { log, lines };
}

function json(fields: LogFields): Record<string, unknown> {
  const { log, lines } = capture('json');
  log.info(fields, 'said');
  expect(lines).to.have.length(1);
  const { time, level, message, ...rest } = JSON.parse(lines[0] ?? '');
  expect({ level, message }).to.deep.equal({ level: 'info', message: 'said' });
  expect(time).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/u);
  return rest;
}

/** Fields that the types forbid, as a careless spread passes them. */
function careless(fields: Record<string, unknown>): LogFields {
  return fields;
}

describe('createLogger', () => {
  it('createLogger writes one line of JSON with level, time, message and the fields', () => {
    const fields = { namespace: 'gradebook', name: 'canvas', kid: 'abc', attempt: 3, durationMs: 1.5 };
    expect(json(fields)).to.deep.equal(fields);
  });

  for (const [what, fields] of [
    ['a field that is not in the allow-list', { privateJwk: 'hidden', d: 'hidden', pem: 'hidden' }],
    ['an object in an allowed field', { name: { d: 'hidden' }, kid: ['hidden'], count: { d: 'hidden' } }],
    ['a field of the wrong type', { attempt: 'hidden', namespace: 5 }],
    ['a number that is not finite', { count: Number.NaN, revision: Infinity }],
    ['a field without a value', { name: undefined, kid: null }],
    [
      'a field with the name of an inherited property',
      { toString: 'hidden', constructor: 'hidden', __proto__: { name: 'hidden' } },
    ],
  ] as const) {
    it(`createLogger drops ${what}`, () => expect(json(careless(fields))).to.deep.equal({}));
  }

  for (const [what, error, expected] of [
    ['name and message', new TypeError('wrong'), { name: 'TypeError', message: 'wrong' }],
    [
      'the status of an API error',
      new ApiError('get secrets ns/a: forbidden', { status: 403, reason: 'Forbidden', retryAfter: 1 }),
      { name: 'ApiError', message: 'get secrets ns/a: forbidden', status: 403 },
    ],
    [
      'the code of a system error, but nothing else that hangs on it',
      Object.assign(new Error('open', { cause: new Error('hidden') }), { code: 'ENOENT', jwk: { d: 'hidden' } }),
      { name: 'Error', message: 'open', code: 'ENOENT' },
    ],
    ['no message of a SyntaxError, which quotes what was parsed', syntaxError('{"d": hidden'), { name: 'SyntaxError' }],
    ['only the type of what is no error', { d: 'hidden' }, { name: 'thrown object' }],
    ['a long message cut', new Error('x'.repeat(5000)), { name: 'Error', message: 'x'.repeat(1024) }],
  ] as const) {
    it(`createLogger logs of an error ${what}`, () => {
      const fields = json({ error });
      expect(fields['error']).to.deep.equal(expected);
      expect(JSON.stringify(fields)).not.to.include('hidden');
    });
  }

  it('createLogger truncates long texts', () =>
    expect(json({ file: 'x'.repeat(2000) })).to.deep.equal({ file: 'x'.repeat(1024) }));

  it('createLogger adds the fields of a child logger to its lines, filtered by the allow-list', () => {
    const { log, lines } = capture('json');
    const child = log.child({ controller: 'registration', ...careless({ d: 'hidden' }) }).child({ namespace: 'ns' });
    child.warn({ name: 'canvas' }, 'said');
    expect(JSON.parse(lines[0] ?? '')).to.deep.include({ controller: 'registration', namespace: 'ns', name: 'canvas' });
    expect(lines[0]).not.to.include('hidden');
  });

  for (const format of ['json', 'text'] as const) {
    it(`createLogger writes no lines below its level in the format ${format}`, () => {
      const { log, lines } = capture(format, 'warn');
      const child = log.child({});
      for (const level of ['debug', 'info', 'warn', 'error'] as const) child[level]({}, level);
      expect(lines).to.have.length(2);
      expect(lines[0]).to.include('warn');
      expect(lines[1]).to.include('error');
    });
  }

  it('createLogger writes short lines in the format text', () => {
    const { log, lines } = capture('text');
    log.warn({ name: 'ns/canvas', reason: 'two words', ...careless({ d: 'hidden' }), attempt: 3 }, 'said');
    log.error({ error: new ApiError('no "x"', { status: 403, reason: 'Forbidden' }) }, 'failed');
    expect(lines.map((line) => line.slice(13))).to.deep.equal([
      'WARN  said name=ns/canvas reason="two words" attempt=3\n',
      String.raw`ERROR failed error="ApiError (403): no \"x\""` + '\n',
    ]);
    expect(lines[0]?.slice(0, 13)).to.match(/^\d\d:\d\d:\d\d\.\d{3} $/u);
  });

  it('createLogger escapes line breaks in texts', () => {
    const { log, lines } = capture('text');
    log.info({ name: 'a\n00:00:00.000 ERROR forged' }, 'said');
    expect(lines[0]?.trimEnd().split('\n')).to.have.length(1);
  });
});

function syntaxError(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    return error;
  }
}
