/**
 * An LTI tool in a Pod. Several times a second it signs with the library of tool/typescript, and verifies what it signed the way
 * Canvas does: with a JWKS fetched for that very token, and without jose. Once a second it prints a line of JSON, {@link Tally}. Bundled
 * with the library, it needs nothing but Node.js.
 */
import { createPublicKey, verify, type JsonWebKey } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { openKeyDirectory, signClientAssertion } from '../../../tool/typescript/src/tool-keys.ts';

export interface Tally {
  signed: number;
  verified: number;
  /** Fetches that met a connection that was refused or cut, and were tried again. */
  retried: number;
  /** Key IDs that signed, in order. */
  readonly keyIDs: string[];
  /** Why a token was not verified; the first ten. */
  readonly rejected: string[];
}

const everyMs = 100;
const triesOfOneFetch = 20;

const [keyFolder = '', jwksURL = ''] = process.argv.slice(2);
const directory = await openKeyDirectory(keyFolder);
const tally: Tally = { signed: 0, verified: 0, retried: 0, keyIDs: [], rejected: [] };

async function signToken(): Promise<string> {
  const { keyID } = directory.current();
  tally.signed++;
  if (!tally.keyIDs.includes(keyID)) tally.keyIDs.push(keyID);
  return signClientAssertion(directory);
}

async function accept(token: string): Promise<void> {
  const [header = '', payload = '', signature = ''] = token.split('.');
  const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString());
  const { keys } = (await fetchJwks()) as { keys: (JsonWebKey & { kid: string })[] };
  const key = keys.find((candidate) => candidate.kid === kid);
  if (key === undefined) throw new Error(`key ${kid} is not in the JWKS`);
  const publicKey = createPublicKey({ key, format: 'jwk' });
  if (!verify('sha256', Buffer.from(`${header}.${payload}`), publicKey, Buffer.from(signature, 'base64url'))) {
    throw new Error(`key ${kid} does not verify the signature`);
  }
}

async function fetchJwks(): Promise<unknown> {
  for (let attempt = 1; ; attempt++) {
    let response: Response;
    try {
      response = await fetch(jwksURL, { signal: AbortSignal.timeout(1_000) });
    } catch (error) {
      if (attempt === triesOfOneFetch) throw new Error('nothing answers', { cause: error });
      tally.retried++;
      await wait(200);
      continue;
    }
    if (response.status !== 200) throw new Error(`the JWKS URL answered ${response.status}`);
    return response.json();
  }
}

process.on('SIGTERM', () => process.exit(0));
setInterval(() => console.log(JSON.stringify(tally)), 1_000);
for (;;) {
  try {
    await accept(await signToken());
    tally.verified++;
  } catch (error) {
    if (tally.rejected.length < 10) tally.rejected.push(`${new Date().toISOString()} ${String(error)}`);
  }
  await wait(everyMs);
}
