import { expect } from 'chai';
import { formatHeartbeat, parseHeartbeat } from '../../../src/documents/heartbeat.ts';

describe('A heartbeat', () => {
  const syncedAt = '2026-01-01T00:00:00.000Z';

  it('A heartbeat is parsed as it was formatted', () => {
    for (const unread of [[], ['team-b', 'team-c']]) {
      expect(parseHeartbeat(formatHeartbeat({ syncedAt, unread }))).to.deep.equal({ syncedAt, unread });
    }
  });

  it('A heartbeat is rejected if any part of it is missing or malformed', () => {
    const texts = ['', 'null', '[]', '{}', '{"syncedAt":1}', '{"syncedAt":"yesterday"}', `{"syncedAt":"${syncedAt}"`];
    const unread = ['null', '"team-b"', '[1]'].map((value) => `{"syncedAt":"${syncedAt}","unread":${value}}`);
    for (const text of [...texts, ...unread]) expect(parseHeartbeat(text), text).to.equal(undefined);
  });
});
