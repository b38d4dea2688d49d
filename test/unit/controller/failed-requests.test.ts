import { expect } from 'chai';
import {
  isGivenUp,
  isRefusedOrGivenUp,
  isUnreadable,
  isUnreadableOrGivenUp,
  refusalText,
} from '../../../src/controller/failed-requests.ts';
import { hour, second } from '../../../src/domain/duration.ts';
import { ApiError, TransportError } from '../../../src/kube/errors.ts';

function refused(status: number, details: Partial<ApiError> = {}): ApiError {
  return new ApiError(`create secrets ns/a: ${status}`, { status, reason: 'Unknown', ...details });
}

const forbidden = (serverMessage?: string): ApiError => refused(403, { reason: 'Forbidden', serverMessage });
const late = new TransportError('Timeout', 'no answer within 30 s');
const broken = new TransportError('Connection', 'broken');
const gone = refused(404, { missing: 'object' });

describe('A failed request', () => {
  for (const [message, text] of [
    ['secrets "canvas" is forbidden: exceeded quota: q, limited: 0', '403 Forbidden: exceeded quota: q, limited: 0'],
    ['admission webhook "a.b" denied the request: no', '403 Forbidden: admission webhook "a.b" denied the request: no'],
    [undefined, '403 Forbidden'],
  ] as const) {
    it(`refusalText omits the object: ${text}`, () => {
      expect(refusalText(forbidden(message))).to.equal(text);
    });
  }

  it('refusalText is the message of an error without an answer', () => {
    expect(refusalText(late)).to.equal('no answer within 30 s');
  });

  it('refusalText is the status code if the answer is not a Status', () => {
    expect(refusalText(refused(413))).to.equal('413');
  });

  it('isGivenUp is true of a timeout, after three seconds, and if the server asks for a longer wait, but not of a missing object', () => {
    expect(isGivenUp(late, 0)).to.equal(true);
    const unsent = new TransportError('Credentials', 'no token');
    expect([broken, unsent].map((error) => isGivenUp(error, hour))).to.deep.equal([true, false]);
    expect(isGivenUp(broken, 3 * second)).to.equal(false);
    const busy = refused(429, { retryAfter: second });
    const times = [0, 3 * second, 3 * second + 1];
    expect(times.map((time) => isGivenUp(busy, time))).to.deep.equal([false, false, true]);
    expect(isGivenUp(refused(429, { retryAfter: 4 * second }), 0)).to.equal(true);
    expect(isGivenUp(gone, hour)).to.equal(false);
  });

  it('A pass continues at once without a write that is refused and a read that is forbidden or invalid, not without one whose connection broke', () => {
    const missingNamespace = refused(404);
    const malformed = new TransportError('Malformed', 'not JSON');
    const errors = [forbidden(), late, missingNamespace, malformed, broken, gone];
    expect(errors.map((error) => isRefusedOrGivenUp(error, 0))).to.deep.equal([true, true, true, false, false, false]);
    const unreadable = [true, true, false, true, false, false];
    expect(errors.map((error) => isUnreadable(error))).to.deep.equal(unreadable);
    expect(errors.map((error) => isUnreadableOrGivenUp(error, 0))).to.deep.equal(unreadable);
  });
});
