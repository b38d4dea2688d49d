import { KeyDirectoryError } from './errors.ts';

/** The members of `registration.json`, under the names of OpenID Connect Discovery 1.0 §3 and RFC 7591. */
export interface Registration {
  /** `iss` of the platform's launches. Absent until the platform is known. */
  readonly issuer?: string;
  /** Absent until the platform has assigned it. */
  readonly client_id?: string;
  readonly authorization_endpoint?: string;
  readonly token_endpoint?: string;
  /** `aud` of client assertions. */
  readonly token_audience?: string;
  /** The same, under the name of LTI Dynamic Registration. */
  readonly authorization_server?: string;
  /** The platform's public keys. */
  readonly jwks_uri?: string;
  /** Absent: accept each deployment ID of a verified launch. */
  readonly deployment_ids?: readonly string[];
  /** Such as `Canvas`. */
  readonly platform?: string;
  /** The tool's public keys, as the operator serves them. */
  readonly tool_jwks_uri?: string;
  /** The public keys of all registrations of the namespace. */
  readonly namespace_jwks_uri?: string;
  /** The ID of the key that signs. */
  readonly kid?: string;
  /** The number of that key: 3 of the LtiKey `canvas-3`. */
  readonly revision?: number;
}

const strings = [
  'issuer',
  'client_id',
  'authorization_endpoint',
  'token_endpoint',
  'token_audience',
  'authorization_server',
  'jwks_uri',
  'platform',
  'tool_jwks_uri',
  'namespace_jwks_uri',
  'kid',
] as const;

/** Unknown members are kept, because later versions of the operator may add some. */
export function registrationOf(value: Readonly<Record<string, unknown>>, file: string): Registration {
  const isWrong = (name: string): boolean => value[name] !== undefined && typeof value[name] !== 'string';
  const ids = value['deployment_ids'];
  const wrongIDs = ids !== undefined && !(Array.isArray(ids) && ids.every((id) => typeof id === 'string'));
  const wrong = strings.find(isWrong) ?? (wrongIDs ? 'deployment_ids' : undefined);
  if (wrong !== undefined) {
    const what = `its member ${wrong} has another type than expected`;
    throw new KeyDirectoryError('FileMalformed', file, what, 'mount the delivery Secret unchanged');
  }
  return value;
}
