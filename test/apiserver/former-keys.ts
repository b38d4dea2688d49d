import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { expect } from 'chai';
import { CompactSign } from 'jose';
import { importGrantAnnotation, secrets } from '../../src/api/names.ts';
import type { LtiRegistration } from '../../src/api/objects.ts';
import type { Secret } from '../../src/kube/objects.ts';
import { rsaThumbprint } from '../../src/lib/thumbprint.ts';
import { base64, type Tenant, text } from './tenant.ts';

/** What a tool had before the operator: key pairs of its own, and Secrets that hold them. */

type Import = NonNullable<LtiRegistration['spec']['import']>;
type VerifyOnly = NonNullable<Import['verifyOnly']>[number];

/** `spec.import`, with the default of the schema. */
export function importing(wanted: Partial<Import>): Import {
  return { entry: 'private.pem', ...wanted };
}

export class FormerKey {
  readonly privateKey: KeyObject;
  readonly thumbprint: string;
  readonly #numbers: { readonly n: string; readonly e: string };

  constructor(bits = 2048) {
    ({ privateKey: this.privateKey } = generateKeyPairSync('rsa', { modulusLength: bits }));
    const { n, e } = createPublicKey(this.privateKey).export({ format: 'jwk' });
    this.#numbers = { n: n!, e: e! };
    this.thumbprint = rsaThumbprint(this.#numbers);
  }

  pem(type: 'pkcs1' | 'pkcs8' = 'pkcs8'): string {
    return this.privateKey.export({ format: 'pem', type }).toString();
  }

  jwk(kid?: string): string {
    return JSON.stringify({ ...this.privateKey.export({ format: 'jwk' }), kid });
  }

  /** An item of `spec.import.verifyOnly`. */
  verifyOnly(until: number, kid?: string): VerifyOnly {
    const publicJWK = { kty: 'RSA' as const, ...this.#numbers, ...(kid === undefined ? {} : { kid }) };
    return { publicJWK, until: new Date(until).toISOString() };
  }

  sign(kid: string, payload = 'from the old tool'): Promise<string> {
    const signed = new CompactSign(Buffer.from(payload)).setProtectedHeader({ alg: 'RS256', kid });
    return signed.sign(this.privateKey);
  }
}

/** A Secret of the old tool; granted to `canvas` unless told otherwise. */
export function keepKey(
  tenant: Tenant,
  name: string,
  entries: Readonly<Record<string, string>>,
  grantedTo: string | undefined = 'canvas',
): Promise<Secret> {
  const annotations = grantedTo === undefined ? {} : { [importGrantAnnotation]: grantedTo };
  const data = Object.fromEntries(Object.entries(entries).map(([entry, content]) => [entry, base64(content)]));
  const metadata = { name, namespace: tenant.namespace, annotations };
  return tenant.client.create<Secret>(secrets, { apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque', data });
}

/** The delivered key ID, once the whole Secret is this key. */
export async function expectDelivered(tenant: Tenant, kid: string, { privateKey }: FormerKey): Promise<void> {
  const secret = await tenant.secret('canvas-signing-key');
  expect(secret, 'the delivery Secret').not.to.equal(undefined);
  expect(text(secret!, 'kid')).to.equal(kid);
  expect(text(secret!, 'private.pem').trim()).to.equal(
    privateKey.export({ format: 'pem', type: 'pkcs8' }).toString().trim(),
  );
  const { d, n } = privateKey.export({ format: 'jwk' });
  expect(JSON.parse(text(secret!, 'private.jwk'))).to.deep.include({ kid, d, n });
}
