import { expect } from 'chai';
import { parseOptions, UsageError } from '../../../../dev/release/options.ts';

const digest = `sha256:${'0a'.repeat(32)}`;

describe('The options of npm run release', () => {
  it('Base images need a digest', () => {
    const images = ['node:24-slim', 'node', 'node@sha256:abc', `node@${digest}/x`];
    for (const image of images) {
      expect(() => parseOptions([`--node-image=${image}`], '/'), image).to.throw(
        UsageError,
        '--node-image needs a digest',
      );
    }
  });

  it('Without both base images, there is no image to build', () => {
    expect(parseOptions([`--node-image=node@${digest}`], '/')).to.include({
      baseImages: undefined,
      withoutImage: false,
    });
  });

  it('The base images are the given ones, and the output is relative to the checkout', () => {
    const args = [`--node-image=node@${digest}`, `--runtime-image=cc@${digest}`];
    expect(parseOptions(args, '/checkout')).to.deep.include({
      baseImages: { node: `node@${digest}`, runtime: `cc@${digest}` },
      output: '/checkout/release',
      architectures: ['x64', 'arm64'],
    });
  });

  for (const args of [['--arch=x64,mips'], ['--arch='], ['--unknown'], ['extra']]) {
    it(`${args.join(' ')} is a wrong option`, () => {
      expect(() => parseOptions(args, '/')).to.throw(UsageError);
    });
  }
});
