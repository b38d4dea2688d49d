import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { apiVersion } from '../api/names.ts';
import type { LtiRegistration } from '../api/objects.ts';
import { errorCode } from '../lib/error-code.ts';
import { isJsonObject } from '../lib/json-object.ts';
import { CliError } from './exit-codes.ts';

/** What a registration says about the platform, as options or as the `registration.json` of a delivery Secret. */
export interface RegistrationInput {
  readonly registrationJson?: string;
  readonly issuer?: string;
  readonly clientId?: string;
  readonly authorizationEndpoint?: string;
  readonly tokenEndpoint?: string;
  readonly tokenAudience?: string;
  readonly jwksUri?: string;
  readonly deploymentId?: readonly string[];
}

/** Values with which a tool can sign before there is a platform. */
const assumed = {
  issuer: 'https://platform.example',
  clientID: 'development',
};

export function withRegistrationOptions(command: Command): Command {
  const collect = (value: string, former: readonly string[] | undefined): string[] => [...(former ?? []), value];
  return command
    .option('--registration-json <file>', 'A registration.json of a delivery; the options below take precedence.')
    .option('--issuer <url>', `The issuer of the platform. (default: ${assumed.issuer})`)
    .option('--client-id <id>', `The client ID of the tool. (default: ${assumed.clientID})`)
    .option('--authorization-endpoint <url>', 'The OpenID Connect authorization URL of the platform.')
    .option('--token-endpoint <url>', 'The token URL of the platform. (default: the one of this command)')
    .option('--token-audience <audience>', 'The audience of client assertions, if it is not the token URL.')
    .option('--jwks-uri <url>', "The URL of the platform's own public keys.")
    .option('--deployment-id <id>', 'A deployment ID; can be given several times.', collect);
}

type Said = Pick<
  LtiRegistration['spec'],
  | 'issuer'
  | 'clientID'
  | 'authorizationEndpoint'
  | 'tokenEndpoint'
  | 'tokenAudience'
  | 'jwksURI'
  | 'deploymentIDs'
  | 'platform'
>;

interface Place {
  readonly namespace: string;
  readonly name: string;
  readonly activationDelay: string;
  readonly overlap: string;
  /** If neither an option nor the file says another one. */
  readonly ownTokenEndpoint: string;
}

/** The registration that the options describe. Rejects with a CliError that names the file and the member. */
export async function registrationFrom(
  input: RegistrationInput,
  { namespace, name, ownTokenEndpoint, ...timing }: Place,
): Promise<LtiRegistration> {
  const fromFile = input.registrationJson === undefined ? {} : await saidIn(input.registrationJson);
  const { issuer, clientId, authorizationEndpoint, tokenEndpoint, tokenAudience, jwksUri, deploymentId } = input;
  const given = {
    issuer,
    clientID: clientId,
    authorizationEndpoint,
    tokenEndpoint,
    tokenAudience,
    jwksURI: jwksUri,
    deploymentIDs: deploymentId,
  };
  const defined = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const own = { ...assumed, tokenEndpoint: ownTokenEndpoint };
  const spec = { ...(input.registrationJson === undefined ? own : {}), ...fromFile, ...defined, ...timing };
  // oxlint-disable-next-line no-unsafe-type-assertion -- the rest of the spec are defaults
  return { apiVersion, kind: 'LtiRegistration', metadata: { namespace, name }, spec } as unknown as LtiRegistration;
}

/** Member of registration.json → field of the spec. */
const fields = {
  issuer: 'issuer',
  client_id: 'clientID',
  authorization_endpoint: 'authorizationEndpoint',
  token_endpoint: 'tokenEndpoint',
  token_audience: 'tokenAudience',
  jwks_uri: 'jwksURI',
  deployment_ids: 'deploymentIDs',
  platform: 'platform',
} as const satisfies Readonly<Record<string, keyof Said>>;

async function saidIn(file: string): Promise<Partial<Said>> {
  const refuse = (what: string): never => {
    throw new CliError(`${file} ${what}: give the registration.json of a delivery, or leave out --registration-json`);
  };
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    refuse(error instanceof SyntaxError ? 'is not JSON' : `cannot be read (${errorCode(error)})`);
  }
  if (!isJsonObject(value)) return refuse('is not a JSON object');
  if (value['issuer'] === undefined) refuse('has no issuer');
  const said: Record<string, unknown> = {};
  for (const [member, field] of Object.entries(fields)) {
    const content = value[member];
    if (content === undefined) continue;
    if (member === 'deployment_ids' ? !isTexts(content) : typeof content !== 'string') {
      refuse(`has a member ${member} that is not ${member === 'deployment_ids' ? 'a list of strings' : 'a string'}`);
    }
    said[field] = content;
  }
  return said;
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
