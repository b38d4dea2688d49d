import { expect } from 'chai';
import { packagesIn } from '../../../../dev/release/image-packages.ts';
import { imageSbom, type Sbom } from '../../../../dev/release/sbom.ts';

const bundle: Sbom = {
  bomFormat: 'CycloneDX',
  specVersion: '1.5',
  version: 1,
  metadata: {
    timestamp: '2026-11-27T00:00:00.000Z',
    component: { 'bom-ref': 'a@1', name: 'a', type: 'application' },
  },
  components: [{ 'bom-ref': 'jose@6.0.0', type: 'library', name: 'jose', version: '6.0.0' }],
  dependencies: [{ ref: 'a@1', dependsOn: ['jose@6.0.0'] }],
};

describe('The SBOM of the image', () => {
  const status =
    'Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.41-12+13u1\n\nPackage: b\n';
  const packages = packagesIn(status);
  const { components, metadata, dependencies } = imageSbom(bundle, {
    versions: { node: '24.21.0', openssl: '3.5.0', modules: '137' },
    packages,
  });

  it('It lists the bundle, Node, the libraries in Node, and Debian packages', () => {
    expect(components.map(({ name, version }) => `${name} ${version}`)).to.deep.equal([
      'jose 6.0.0',
      'node 24.21.0',
      'openssl 3.5.0',
      'libc6 2.41-12+13u1',
    ]);
    expect(metadata.component.type).to.equal('container');
  });

  it('The package URL of a Debian package is encoded', () => {
    expect(components.at(-1)?.purl).to.equal('pkg:deb/debian/libc6@2.41-12%2B13u1?arch=amd64');
  });

  it('Every reference names a component', () => {
    const refs = new Set([metadata.component['bom-ref'], ...components.map((each) => each['bom-ref'])]);
    const named = dependencies.flatMap(({ ref, dependsOn = [] }) => [ref, ...dependsOn]);
    expect(named.filter((ref) => !refs.has(ref))).to.deep.equal([]);
  });
});
