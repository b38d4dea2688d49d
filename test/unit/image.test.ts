import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { version } from '../../src/version.ts';

interface Container {
  readonly image: string;
  readonly command?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
  readonly resources: { readonly limits: { readonly memory: string } };
}

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const containersOf = (path: string): readonly Container[] =>
  (parse(read(path)) as { spec: { template: { spec: { containers: readonly Container[] } } } }).spec.template.spec
    .containers;

/** The instructions of the last stage, which is the image. */
const last =
  read('Dockerfile')
    .split(/^(?=FROM )/m)
    .at(-1) ?? '';

describe('The Dockerfile', () => {
  it('The last stage runs no command, so its base image needs no shell', () => {
    expect(last).to.match(/^FROM --platform=\$TARGETPLATFORM \$\{RUNTIME_IMAGE\}$/m);
    expect(last).not.to.match(/^(RUN|SHELL) /m);
    expect(last).to.match(/^ENTRYPOINT \["node", /m);
  });

  it('The user is a number and not root', () => {
    expect(last).to.match(/^USER [1-9]\d*:[1-9]\d*$/m);
  });

  it('The heap is that of the controller in deploy/, and below its memory limit', () => {
    const [controller] = containersOf('deploy/deployment.yaml');
    const options = controller?.env?.find(({ name }) => name === 'NODE_OPTIONS')?.value ?? '';
    expect(options).to.match(/^--max-old-space-size=\d+$/);
    expect(last).to.include(` NODE_OPTIONS=${options} `);
    const limit = Number.parseInt(controller?.resources.limits.memory ?? '', 10);
    expect(Number(options.split('=')[1])).to.be.lessThan(limit);
  });
});

describe('The version of package.json', () => {
  it('The manifests and the README name the image of this version', () => {
    const paths = ['deploy/deployment.yaml', 'deploy/publisher/deployment.yaml'];
    const images = paths.flatMap((path) => containersOf(path).map(({ image }) => image));
    expect(new Set(images)).to.deep.equal(new Set([`lti-key-operator:${version}`]));
    expect(read('README.md')).to.include(`docker build --tag registry.example.org/lti-key-operator:${version} .`);
  });

  for (const path of ['tool/typescript/package.json', 'tool/python/pyproject.toml']) {
    it(`The library in ${path} has this version`, () => {
      expect(/^\s*"?version"?\s*[:=]\s*"([^"]+)"/m.exec(read(path))?.[1]).to.equal(version);
    });
  }
});
