import type { Registration } from './registration.ts';
import type { Verdict } from './verdict.ts';

/** The first step of the registration at the platform whose result is not in the spec. It blocks nothing. */
export function registeredVerdict(
  { issuer, hasClientID, hasTokenEndpoint }: Pick<Registration, 'issuer' | 'hasClientID' | 'hasTokenEndpoint'>,
  jwksURL: string | undefined,
): Verdict {
  if (issuer === undefined) {
    const url = jwksURL === undefined ? 'its JWKS URL' : jwksURL;
    const message = `register the tool at the platform with ${url}, then set spec.issuer, spec.clientID and the endpoints of the platform`;
    return { status: 'False', reason: 'IssuerMissing', message };
  }
  if (!hasClientID) {
    const message = `set spec.clientID to the ID that ${issuer} assigned to the tool; until then the tool can sign nothing`;
    return { status: 'False', reason: 'ClientIDMissing', message };
  }
  if (!hasTokenEndpoint) {
    const message = `set spec.tokenEndpoint to the token URL of ${issuer}; without it the tool gets no access tokens`;
    return { status: 'False', reason: 'TokenEndpointMissing', message };
  }
  return { status: 'True', reason: 'PlatformRecorded', message: 'the spec has what the platform assigned' };
}
