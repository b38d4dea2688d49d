import { expect } from 'chai';
import {
  formatFetchReport,
  isOperatorRequest,
  operatorUserAgent,
  parseFetchReport,
} from '../../../src/documents/fetch-report.ts';

const path = '/registrations/gradebook/canvas/jwks.json';

describe('A fetch report', () => {
  it('A fetch report is read as it was written', () => {
    const report = new Map([[path, { count: 3, secondsAgo: 12 }]]);
    expect(parseFetchReport(formatFetchReport(report))).to.deep.equal(report);
    expect(parseFetchReport(formatFetchReport(new Map()))).to.deep.equal(new Map());
  });

  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '{}',
    '{"fetches":[]}',
    `{"fetches":{"${path}":null}}`,
    `{"fetches":{"${path}":{"count":1}}}`,
    `{"fetches":{"${path}":{"count":1,"secondsAgo":"1"}}}`,
    `{"fetches":{"${path}":{"count":1,"secondsAgo":-1}}}`,
    `{"fetches":{"${path}":{"count":1,"secondsAgo":1e999}}}`,
  ]) {
    it(`A fetch report refuses ${text || 'an empty text'}`, () => expect(parseFetchReport(text)).to.equal(undefined));
  }

  it('A fetch report distinguishes the requests of the operator by their User-Agent', () => {
    expect(isOperatorRequest(operatorUserAgent)).to.equal(true);
    for (const other of [undefined, '', 'MoodleBot/1.0', 'lti-key-operators', ` ${operatorUserAgent}`]) {
      expect(isOperatorRequest(other), other).to.equal(false);
    }
  });
});
