/**
 * An LTI tool in a Pod. Several times a second it signs with the key that is mounted, as README.md tells tools to, and
 * verifies what it signed the way Canvas does: with a JWKS fetched for that very token. Once a second it prints a line
 * of JSON, {@link Tally}. It needs nothing but Node.js.
 */
import { createPrivateKey, createPublicKey, sign, verify, type JsonWebKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';

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
const tally: Tally = { signed: 0, verified: 0, retried: 0, keyIDs: [], rejected: [] };

function signToken(): { token: string; keyID: string } {
  // The folder is a symbolic link that the kubelet swaps: key and key ID are read through one and the same.
  const keyID = readFileSync(`${keyFolder}/kid`, 'utf8');
  const privateKey = createPrivateKey(readFileSync(`${keyFolder}/private.pem`));
  const { client_id } = JSON.parse(readFileSync(`${keyFolder}/registration.json`, 'utf8'));
  const now = Math.floor(Date.now() / 1000);
  const payload = { iss: client_id, sub: client_id, iat: now, exp: now + 300, jti: String(tally.signed) };
  const input = [{ alg: 'RS256', typ: 'JWT', kid: keyID }, payload]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  tally.signed++;
  if (!tally.keyIDs.includes(keyID)) tally.keyIDs.push(keyID);
  return { token: `${input}.${sign('sha256', Buffer.from(input), privateKey).toString('base64url')}`, keyID };
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
    await accept(signToken().token);
    tally.verified++;
  } catch (error) {
    if (tally.rejected.length < 10) tally.rejected.push(`${new Date().toISOString()} ${String(error)}`);
  }
  await wait(everyMs);
}
