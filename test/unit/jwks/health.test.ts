import { expect } from 'chai';
import type { Heartbeat } from '../../../src/documents/heartbeat.ts';
import { Health } from '../../../src/jwks/health.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

describe('Health', () => {
  const at = (syncedAt: string, unread: readonly string[] = []): Heartbeat => ({ syncedAt, unread });
  const earlier = at('2025-12-31T23:59:50.000Z');

  it('Health is synced by a heartbeat that was not there at the start, and stays synced', async () => {
    const clock = new FakeClock();
    const health = new Health(clock);
    for (const beat of [earlier, earlier, undefined]) health.heartbeat(beat);
    expect(health.synced()).to.equal(false);
    health.heartbeat(at('2026-01-01T00:00:00.000Z'));
    expect(health.synced()).to.equal(true);
    await clock.advance(86_400_000);
    health.heartbeat(undefined);
    expect(health.synced()).to.equal(true);
  });

  it('Health is synced by a heartbeat after the clock was set back', () => {
    const health = new Health(new FakeClock());
    health.heartbeat(earlier);
    health.heartbeat(at('2025-06-01T00:00:00.000Z'));
    expect(health.synced()).to.equal(true);
  });

  it('Health reports the publisher as gone after 15 s without a new heartbeat', async () => {
    const clock = new FakeClock();
    const health = new Health(clock);
    health.heartbeat(undefined);
    expect(health.publisherAlive()).to.equal(false);
    health.heartbeat(earlier);
    await clock.advance(15_000);
    expect(health.publisherAlive()).to.equal(true);
    await clock.advance(1);
    health.heartbeat(earlier);
    expect(health.publisherAlive()).to.equal(false);
  });

  it('Health reports the age of the newest heartbeat, even if it is from a previous run', async () => {
    const clock = new FakeClock();
    const health = new Health(clock);
    expect(health.ageSeconds()).to.equal(undefined);
    health.heartbeat(earlier);
    await clock.advance(2500);
    expect(health.ageSeconds()).to.equal(12.5);
  });

  it('Health reports the paths of an unread namespace as unread, until a heartbeat says that it was read', () => {
    const health = new Health(new FakeClock());
    const unread = (): readonly string[] =>
      [
        '/.well-known/jwks.json',
        '/namespaces/team-a/jwks.json',
        '/registrations/team-a/canvas/jwks.json',
        '/namespaces/team-b/jwks.json',
        '/registrations/team-b/canvas/jwks.json',
        '/registrations/team-b-2/canvas/jwks.json',
        '/other/team-b/jwks.json',
      ].filter((path) => health.unread(path));
    expect(unread()).to.deep.equal([]);
    health.heartbeat(at('2026-01-01T00:00:00.000Z', ['team-b']));
    expect(unread()).to.deep.equal([
      '/.well-known/jwks.json',
      '/namespaces/team-b/jwks.json',
      '/registrations/team-b/canvas/jwks.json',
    ]);
    health.heartbeat(at('2026-01-01T00:00:05.000Z'));
    expect(unread()).to.deep.equal([]);
  });
});
