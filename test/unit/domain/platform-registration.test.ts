import { expect } from 'chai';
import { registeredVerdict } from '../../../src/domain/platform-registration.ts';

const issuer = 'https://canvas.example.org';
const url = 'https://keys.example.org/registrations/gradebook/canvas/jwks.json';

describe('registeredVerdict', () => {
  const cases = [
    [{ hasClientID: false, hasTokenEndpoint: false }, 'False IssuerMissing', url],
    [{ issuer, hasClientID: false, hasTokenEndpoint: true }, 'False ClientIDMissing', issuer],
    [{ issuer, hasClientID: true, hasTokenEndpoint: false }, 'False TokenEndpointMissing', issuer],
    [{ issuer, hasClientID: true, hasTokenEndpoint: true }, 'True PlatformRecorded', ''],
  ] as const;
  for (const [registration, verdict, says] of cases) {
    it(`The condition Registered is ${verdict} for ${JSON.stringify(registration)}`, () => {
      const { status, reason, message } = registeredVerdict(registration, url);
      expect(`${status} ${reason}`).to.equal(verdict);
      expect(message).to.include(says);
    });
  }

  it('The condition Registered names no URL if the operator does not know one', () => {
    const { message } = registeredVerdict({ hasClientID: false, hasTokenEndpoint: false }, undefined);
    expect(message).to.include('register the tool at the platform with its JWKS URL');
  });
});
