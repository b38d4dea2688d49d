import { expect } from 'chai';
import { deliverySecretType, registrationLabel } from '../../../../src/api/names.ts';
import {
  hasMembers,
  isBundle,
  isOverfull,
  memberOf,
  withMember,
  withoutMember,
} from '../../../../src/controller/secrets/bundle.ts';
import type { Secret } from '../../../../src/kube/objects.ts';

const secretOf = (registration: string, data: Record<string, string>, more: Record<string, string> = {}): Secret => ({
  apiVersion: 'v1',
  kind: 'Secret',
  type: deliverySecretType,
  metadata: {
    name: 'tool-keys-0',
    namespace: 'gradebook',
    annotations: { [registrationLabel]: registration, 'ltikeys.dev/bundle': 'tool-keys', ...more },
  },
  data,
});
const canvas = secretOf('canvas', { kid: 'YQ==', 'private.jwk': 'Yg==' }, { 'ltikeys.dev/key-id': 'a' });
const dotted = secretOf('canvas.private', { kid: 'Yw==' }, { 'ltikeys.dev/key-id': 'c' });
const both = withMember(withMember(undefined, canvas), dotted);

describe('A bundle', () => {
  it('A bundle has the files of each registration under its name, and is recognized as one', () => {
    expect(both.data).to.deep.equal({
      'canvas.kid': 'YQ==',
      'canvas.private.jwk': 'Yg==',
      'canvas.private.kid': 'Yw==',
    });
    expect(isBundle(both)).to.equal(true);
    expect(both.metadata.labels).to.deep.equal({ 'ltikeys.dev/bundle': 'tool-keys' });
  });

  it('A member has its own files and annotations alone, although names of registrations have dots', () => {
    for (const member of [canvas, dotted]) {
      const name = member.metadata.annotations![registrationLabel]!;
      const read = memberOf(both, name);
      expect(read?.data).to.deep.equal(member.data);
      expect(read?.metadata.annotations).to.deep.equal(member.metadata.annotations);
    }
    expect(memberOf(both, 'moodle')).to.equal(undefined);
  });

  it('The version of a member changes with the member, and with no other', () => {
    const version = (bundle: Secret): string | undefined => memberOf(bundle, 'canvas')?.metadata.resourceVersion;
    expect(version(withoutMember(both, 'canvas.private'))).to.equal(version(both));
    expect(version(withMember(both, secretOf('canvas', { kid: 'eA==' })))).to.not.equal(version(both));
    const edited = { ...both, data: { ...both.data, 'canvas.kid': 'eA==' } };
    expect(version(edited)).to.not.equal(version(both));
  });

  it('A member without its annotation still belongs to its registration, so that its key can be taken away', () => {
    const stripped = { ...both, metadata: { ...both.metadata, annotations: { 'ltikeys.dev/bundle': 'tool-keys' } } };
    expect(memberOf(stripped, 'canvas')?.data).to.deep.equal(canvas.data);
    const broken = { ...both, metadata: { ...both.metadata, annotations: { 'bundle.ltikeys.dev/canvas': '[' } } };
    expect(memberOf(broken, 'canvas')?.metadata.annotations).to.include({ [registrationLabel]: 'canvas' });
  });

  it('A write of a member leaves the others, and drops entries of no registration and the copy of kubectl apply', () => {
    const copy = 'kubectl.kubernetes.io/last-applied-configuration';
    const littered = {
      ...both,
      metadata: { ...both.metadata, annotations: { ...both.metadata.annotations, [copy]: '{}' } },
      data: { ...both.data, junk: 'eA==', '.kid': 'eA==' },
    };
    expect(memberOf(littered, 'canvas')?.metadata.annotations).to.have.property(copy);
    const written = withMember(littered, secretOf('canvas', { kid: 'eA==' }));
    expect(written.data).to.deep.equal({ 'canvas.private.kid': 'Yw==', 'canvas.kid': 'eA==' });
    expect(written.metadata.annotations).to.not.have.property(copy);
  });

  it('A bundle is empty without its last member', () => {
    expect(hasMembers(withoutMember(both, 'canvas'))).to.equal(true);
    expect(hasMembers(withoutMember(withoutMember(both, 'canvas'), 'canvas.private'))).to.equal(false);
  });

  it('A bundle takes at most three quarters of what a Secret can hold', () => {
    const filled = (bytes: number): boolean =>
      isOverfull(withMember(both, secretOf('x', { kid: Buffer.alloc(bytes).toString('base64') })));
    expect([filled(767 * 1024), filled(769 * 1024)]).to.deep.equal([false, true]);
    expect(isOverfull(withMember(both, secretOf('x', {}, { a: 'x'.repeat(193 * 1024) })))).to.equal(true);
  });
});
