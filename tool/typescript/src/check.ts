import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import type { DeliveredKey } from './delivered-key.ts';
import { signClientAssertion } from './sign.ts';

export interface CheckOptions {
  /** For proxies and tests. */
  readonly fetch?: typeof globalThis.fetch;
  /** Milliseconds for the JWKS, 5000 by default. */
  readonly timeout?: number;
}

export interface Finding {
  readonly problem: 'Fault' | 'NotAMount' | 'NoJwksURL' | 'JwksUnreachable' | 'KeyNotServed' | 'CannotSign';
  /** What is wrong and what to do. */
  readonly message: string;
}

/**
 * A rehearsal, for CI or a readiness probe: the directory follows the Secret, and a client assertion that is signed now verifies with the
 * keys that the operator serves at `tool_jwks_uri`. It cannot see whether the rest of the tool reads the key for each signature.
 */
export async function check(directory: DeliveredKey, options: CheckOptions = {}): Promise<readonly Finding[]> {
  await directory.refresh();
  const fault = directory.fault();
  const findings: Finding[] = fault ? [{ problem: 'Fault', message: fault.message }] : [];
  if (!(await isMount(directory.path))) {
    const message = `${directory.path} has no link ..data, so no kubelet updates it; mount the Secret as a directory, without subPath`;
    findings.push({ problem: 'NotAMount', message });
  }
  const served = await findingOfJwks(directory, options);
  return served ? [...findings, served] : findings;
}

async function findingOfJwks(
  directory: DeliveredKey,
  { fetch = globalThis.fetch, timeout = 5000 }: CheckOptions,
): Promise<Finding | undefined> {
  let url: string | undefined;
  let token: string;
  try {
    url = directory.current().registration.tool_jwks_uri;
    token = await signClientAssertion(directory);
  } catch (error) {
    return { problem: 'CannotSign', message: (error as Error).message };
  }
  if (url === undefined) {
    const message = 'registration.json has no tool_jwks_uri; start the operator with --jwks-public-url';
    return { problem: 'NoJwksURL', message };
  }
  let jwks: JSONWebKeySet;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeout), redirect: 'error' });
    if (!response.ok) throw new Error(`status ${response.status}`);
    jwks = (await response.json()) as JSONWebKeySet;
  } catch (error) {
    const message = `${url} gives no JWKS (${(error as Error).message}); platforms need it from the internet, without a redirect`;
    return { problem: 'JwksUnreachable', message };
  }
  try {
    await jwtVerify(token, createLocalJWKSet(jwks), { algorithms: ['RS256'] });
    return undefined;
  } catch {
    const message = `${url} does not verify what the tool signs; read the condition Published of the LtiRegistration, and whether the mount is up to date`;
    return { problem: 'KeyNotServed', message };
  }
}

async function isMount(path: string): Promise<boolean> {
  try {
    return (await lstat(join(path, '..data'))).isSymbolicLink();
  } catch {
    return false;
  }
}
