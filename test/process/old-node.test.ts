import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { buildIfStale } from '../fixtures/installed.ts';

const dist = join(import.meta.dirname, '../../dist');
const run = promisify(execFile);
/** The real version loads everything, so test/architecture.test.ts checks that kubectl-lti.ts loads nothing before its check. */
const pretendOldNode = `data:text/javascript,Object.defineProperty(process, 'version', { value: 'v20.20.2' })`;

describe('The built commands on an old Node', () => {
  before(buildIfStale);

  const cases = [
    {
      command: 'kubectl-lti',
      says: 'error: kubectl lti needs Node.js 24 or newer, this is v20.20.2: use a newer Node or the binary of the release, which needs none\n',
    },
    {
      command: 'lti-key-operator',
      says: 'lti-key-operator needs Node.js 24 or newer, this is v20.20.2: use a newer Node or the image of the release\n',
    },
  ];
  for (const { command, says } of cases) {
    it(`${command} exits with 1 and says which Node it needs`, async () => {
      const args = ['--import', pretendOldNode, join(dist, `${command}.js`), '--version'];
      const failed = await run(process.execPath, args).catch((error: object) => error);
      expect(failed).to.include({ code: 1, stdout: '', stderr: says });
    });
  }
});
