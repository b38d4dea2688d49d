import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import type { PublicJwk } from '../../src/domain/public-jwk.ts';
import { generateKeyPair, type KeyPair } from '../../src/crypto/key-pair.ts';
import { eventually } from '../fixtures/command.ts';
import { files, Mount } from '../fixtures/mount.ts';

/** Three rotations, in which a tool signs with what it finds in its mount and a platform verifies with what the operator serves. */

const keys: Promise<readonly KeyPair[]> = Promise.all(Array.from({ length: 4 }, () => generateKeyPair(2048)));

/** Tokens that the tool signs after each step of a rotation. */
export const tokensPerStep = 3;
/** One step at the start, and in each rotation publication, hand-over and retirement. */
export const tokens = (1 + 3 * 3) * tokensPerStep;

export const issuer = 'https://canvas.instructure.com';
export const clientID = '10000000000042';
/** Not the token endpoint, as with Brightspace. */
export const audience = 'https://api.brightspace.com/auth/token';

export interface Outcome {
  readonly accepted: number;
  readonly refused: readonly string[];
}

/** A platform that fetches the JWKS for every token, as Canvas does, and requires `kid`. */
export class Platform {
  served: readonly PublicJwk[] = [];
  /** The key ID of the last token. */
  lastKeyID: string | undefined;
  #accepted = 0;
  #counts = true;
  readonly #refused: string[] = [];
  readonly #usedIDs = new Set<unknown>();
  readonly #server = createServer((request, response) => void this.#answer(request, response));

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  /** The token endpoint. */
  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const form = new URLSearchParams(await text(request));
    const isAccepted = await this.takeClientAssertion(form.get('client_assertion') ?? '');
    const token = { access_token: 'token', token_type: 'Bearer', expires_in: 3600 };
    response.writeHead(isAccepted ? 200 : 401, { 'content-type': 'application/json' });
    response.end(JSON.stringify(isAccepted ? token : { error: 'invalid_client' }));
  }

  get tokenEndpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/token`;
  }

  get outcome(): Outcome {
    return { accepted: this.#accepted, refused: this.#refused };
  }

  /** Does not count the tokens that it accepts meanwhile. */
  async withoutCounting(use: () => Promise<void>): Promise<void> {
    this.#counts = false;
    await use().finally(() => (this.#counts = true));
  }

  /** LTI Security Framework 1.0 §4.1.1. */
  takeClientAssertion(token: string): Promise<boolean> {
    return this.#take(token, audience, ({ sub, jti, iat, exp }) => {
      if (sub !== clientID) return 'sub is not the client ID';
      if (typeof jti !== 'string' || this.#usedIDs.has(jti)) return 'jti is missing or was used before';
      this.#usedIDs.add(jti);
      return Number(exp) - Number(iat) <= 600 ? undefined : 'it lives for more than ten minutes';
    });
  }

  /** LTI Deep Linking 2.0 §4.5. */
  takeDeepLinkingResponse(token: string): Promise<boolean> {
    return this.#take(token, issuer, (claims) => {
      if (claims['https://purl.imsglobal.org/spec/lti/claim/message_type'] !== 'LtiDeepLinkingResponse')
        return 'message_type';
      return typeof claims['nonce'] === 'string' ? undefined : 'nonce is missing';
    });
  }

  async #take(
    token: string,
    expectedAudience: string,
    fault: (claims: Readonly<Record<string, unknown>>) => string | undefined,
  ): Promise<boolean> {
    let why: string | undefined;
    try {
      // Without `kid`, jose would try the only key of the set.
      this.lastKeyID = decodeProtectedHeader(token).kid;
      if (this.lastKeyID === undefined) throw new Error('it has no kid');
      const { payload } = await jwtVerify(token, createLocalJWKSet({ keys: [...this.served] }), {
        algorithms: ['RS256'],
        issuer: clientID,
        audience: expectedAudience,
        requiredClaims: ['exp', 'iat'],
      });
      why = fault(payload);
    } catch (error) {
      why = (error as Error).message;
    }
    if (why !== undefined) this.#refused.push(why);
    else if (this.#counts) this.#accepted++;
    return why === undefined;
  }

  close(): void {
    this.#server.close();
  }
}

export interface Tool {
  /** Signs a token, and gives it to the platform. */
  sign(): Promise<void>;
  stop(): Promise<void> | void;
}

/** Starts the tool with the first key in its mount, takes it through three rotations, and stops it. */
export async function throughThreeRotations(
  start: (mount: Mount, platform: Platform) => Promise<Tool>,
  { readsForEachToken = false } = {},
): Promise<Outcome> {
  const [first, ...others] = await keys;
  const mount = new Mount();
  const platform = new Platform();
  await platform.listen();
  const deliver = (key: KeyPair, ...published: readonly KeyPair[]): void => {
    platform.served = published.map(({ publicJWK }) => publicJWK);
    const registration = {
      issuer,
      client_id: clientID,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: platform.tokenEndpoint,
      token_audience: audience,
      jwks_uri: `${issuer}/jwks`,
      tool_jwks_uri: 'https://keys.example.org/registrations/gradebook/canvas/jwks.json',
    };
    const jwks = JSON.stringify({ keys: platform.served });
    mount.swap({ ...files(key), 'jwks.json': jwks, 'registration.json': JSON.stringify(registration) });
  };
  let active = first!;
  deliver(active, active);
  const tool = await start(mount, platform).catch((error: unknown) => {
    platform.close();
    mount.remove();
    throw error;
  });
  const sign = async (): Promise<void> => {
    for (let token = 0; token < tokensPerStep; token++) await tool.sign();
  };
  try {
    await sign();
    for (const next of others) {
      deliver(active, active, next);
      await sign();
      deliver(next, active, next);
      await sign();
      // A library may need a moment to see a new key. A real overlap is 48 hours.
      if (!readsForEachToken) await untilSignsWith(next, tool, platform);
      active = next;
      deliver(active, active);
      await sign();
    }
  } finally {
    await tool.stop();
    platform.close();
    mount.remove();
  }
  return platform.outcome;
}

async function untilSignsWith({ publicJWK }: KeyPair, tool: Tool, platform: Platform): Promise<void> {
  await eventually('the tool signs with the new key', async () => {
    await platform.withoutCounting(() => tool.sign());
    return platform.lastKeyID === publicJWK.kid;
  });
}

/**
 * A tool in another process: for each line `assertion` or `response` of its input it writes a line, which is the token, or `requested`
 * if it sent the token to the token endpoint itself.
 */
export function toolProcess(
  command: string,
  args: readonly string[],
  platform: Platform,
  { asks = ['assertion'], ...options }: { asks?: readonly string[]; env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Tool & { stop(): Promise<void> } {
  const child: ChildProcessWithoutNullStreams = spawn(command, args, options);
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  // A tool that ended is reported where its answer is read.
  child.stdin.on('error', () => undefined);
  const exited = once(child, 'exit').catch((error: Error) => void (errors += error.message));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const sign = async (): Promise<void> => {
    for (const ask of asks) {
      child.stdin.write(`${ask}\n`);
      const { value, done } = await lines.next();
      if (done) {
        await exited;
        throw new Error(`The tool ended: ${errors.slice(-2000)}`);
      }
      if (value === 'requested') continue;
      if (ask === 'response') await platform.takeDeepLinkingResponse(value);
      else await platform.takeClientAssertion(value);
    }
  };
  const stop = async (): Promise<void> => {
    child.stdin.end();
    child.kill();
    await exited;
  };
  return { sign, stop };
}
