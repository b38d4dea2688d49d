import { namespacePath, registrationPath } from '../api/names.ts';
import type { LtiRegistration } from '../api/objects.ts';
import { isJsonObject } from '../lib/json-object.ts';
import { CliError } from './exit-codes.ts';

/**
 * LTI Dynamic Registration 1.0: what a platform answers to a tool, as fields of an LtiRegistration. The answer has two parts: the
 * registration response (OpenID Connect Dynamic Client Registration 1.0 §3.2, with the LTI tool configuration) and the OpenID
 * configuration of the platform (OpenID Connect Discovery 1.0 §3, with the LTI platform configuration).
 */

type Spec = LtiRegistration['spec'];
type Platform = NonNullable<Spec['platform']>;
type Json = Readonly<Record<string, unknown>>;

export interface Answer {
  readonly spec: Partial<Spec>;
  /** What the user has to look at, one sentence each. */
  readonly notes: readonly string[];
}

const toolConfiguration = 'https://purl.imsglobal.org/spec/lti-tool-configuration';
const platformConfiguration = 'https://purl.imsglobal.org/spec/lti-platform-configuration';
const secretMembers = ['registration_access_token', 'client_secret'];

/** `product_family_code` in lower case → `spec.platform`. */
const families: readonly (readonly [RegExp, Platform])[] = [
  [/^canvas/, 'Canvas'],
  [/^moodle/, 'Moodle'],
  [/^blackboard/, 'Blackboard'],
  [/^(desire2learn|d2l|brightspace)/, 'Brightspace'],
  [/^sakai/, 'Sakai'],
];

/** A JSON file of the platform and what to call it in messages. */
export class AnswerFile {
  readonly #file: string;
  readonly #json: Json;

  /** Throws a CliError that names the file, and quotes nothing of it. */
  constructor(file: string, text: string) {
    this.#file = file;
    const value = this.#parsed(text);
    this.#json = isJsonObject(value) ? value : this.refuse(`is ${shapeOf(value)}, not a JSON object`);
  }

  #parsed(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch {
      return this.refuse('is not JSON');
    }
  }

  refuse(what: string): never {
    throw new CliError(`${this.#file} ${what}: nothing was imported`);
  }

  has(member: string): boolean {
    return this.#json[member] !== undefined;
  }

  /** An object in this one; without members if it is absent. */
  part(member: string): AnswerFile {
    const value = this.#json[member] ?? {};
    return new AnswerFile(`${this.#file}, ${member},`, JSON.stringify(value));
  }

  text(member: string): string | undefined {
    const value = this.#json[member];
    if (value === undefined) return undefined;
    if (typeof value !== 'string' || value === '') {
      return this.refuse(`has a member ${member} that is ${shapeOf(value)}, not a string`);
    }
    return value;
  }

  required(member: string): string {
    return this.text(member) ?? this.refuse(`has no ${member}`);
  }

  url(member: string): string | undefined {
    const value = this.text(member);
    if (value === undefined || (URL.canParse(value) && value.startsWith('https://') && !value.includes('#')))
      return value;
    return this.refuse(`has a member ${member} that is not an https URL without a fragment`);
  }

  /** An ID that some platforms write as a number. */
  id(member: string): string | undefined {
    const value = this.#json[member];
    return Number.isSafeInteger(value) ? String(value) : this.text(member);
  }
}

/** The fields that the platform's answer has. Throws a CliError that names the file and the member. */
export function answerOf(
  response: AnswerFile,
  configuration: AnswerFile | undefined,
  place: { readonly namespace: string; readonly name: string },
): Answer {
  const error = response.text('error');
  if (error !== undefined) {
    response.refuse(`is a refusal of the platform (${/^[\w-]{1,64}$/.test(error) ? error : 'with an unknown error'})`);
  }
  const clientID = response.required('client_id');
  const deploymentID = response.part(toolConfiguration).id('deployment_id') ?? response.id('deployment_id');
  const platform = configuration && platformOf(configuration);
  const isOpenEnded = platform === 'Canvas';
  return {
    spec: {
      ...(configuration && platform ? endpointsOf(configuration, platform) : {}),
      clientID,
      ...(deploymentID === undefined || isOpenEnded ? {} : { deploymentIDs: [deploymentID] }),
    },
    notes: [
      ...jwksNotes(response, place),
      ...(isOpenEnded && deploymentID !== undefined
        ? ['the deployment ID is left out, because Canvas creates deployments at any time']
        : []),
      ...secretMembers
        .filter((member) => response.has(member))
        .map((member) => `the response has a ${member}, which is secret and is not imported: store or delete the file`),
    ],
  };
}

function platformOf(configuration: AnswerFile): Platform {
  const family = configuration.part(platformConfiguration).text('product_family_code')?.toLowerCase() ?? '';
  return families.find(([pattern]) => pattern.test(family))?.[1] ?? 'Other';
}

function endpointsOf(configuration: AnswerFile, platform: Platform): Partial<Spec> {
  const tokenEndpoint = configuration.url('token_endpoint');
  const audience =
    configuration.text('authorization_server') ??
    configuration.part(platformConfiguration).text('authorization_server');
  const issuer = configuration.url('issuer') ?? configuration.refuse('has no issuer');
  const fields = {
    platform,
    issuer,
    authorizationEndpoint: configuration.url('authorization_endpoint'),
    tokenEndpoint,
    tokenAudience: audience === tokenEndpoint ? undefined : audience,
    jwksURI: configuration.url('jwks_uri'),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** Whether the platform has recorded the key set of the registration. */
function jwksNotes(response: AnswerFile, { namespace, name }: { namespace: string; name: string }): string[] {
  const url = response.text('jwks_uri');
  if (url === undefined) {
    return ['the response has no jwks_uri: check at the platform that it fetches status.jwksURL of the registration'];
  }
  const paths = [registrationPath(namespace, name), namespacePath(namespace)];
  if (!URL.canParse(url)) return ['the jwks_uri of the response is not a URL: correct it at the platform'];
  const { href, pathname } = new URL(url);
  if (paths.includes(pathname)) return [];
  return [
    `the platform fetches keys from ${href}, which has neither the path ${paths.join(' nor ')}: it does not get the operator's keys unless that URL leads there`,
  ];
}

function shapeOf(value: unknown): string {
  if (value === null) return 'null';
  if (value === '') return 'an empty string';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
