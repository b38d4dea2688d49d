import { expect } from 'chai';
import manifest from '../../../package.json' with { type: 'json' };
import { nodeProblem, oldestNode } from '../../../src/lib/node-version.ts';

describe('nodeProblem', () => {
  it('The oldest Node is the one that package.json requires', () => {
    expect(manifest.engines.node).to.equal(`>=${oldestNode}.0.0`);
  });

  for (const version of ['v24.0.0', 'v24.21.0', 'v100.0.0', process.version]) {
    it(`Node ${version} is new enough`, () => {
      expect(nodeProblem('kubectl lti', version, 'the binary')).to.equal(undefined);
    });
  }

  for (const version of ['v9.11.2', 'v18.20.8', 'v20.20.2', 'v23.11.1']) {
    it(`Node ${version} is too old, and the message has both versions and the remedy`, () => {
      expect(nodeProblem('kubectl lti', version, 'the binary')).to.equal(
        `kubectl lti needs Node.js 24 or newer, this is ${version}: use a newer Node or the binary`,
      );
    });
  }
});
