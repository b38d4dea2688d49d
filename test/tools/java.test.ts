import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { cached } from './cache.ts';
import { codeOf, headingsWithCode } from './page.ts';
import { throughThreeRotations, tokens, toolProcess } from './rotation.ts';

const here = join(import.meta.dirname, 'java');

/** The class path of the packages of `java/pom.xml`. */
function installed(): string {
  const pom = join(here, 'pom.xml');
  const folder = cached('java', [pom], (to) => {
    const plugin = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';
    execFileSync('mvn', ['-q', '-B', '-f', pom, plugin, `-DoutputDirectory=${to}`], { stdio: 'pipe' });
  });
  return join(folder, '*');
}

const hasJava = ['mvn', 'javac', 'java'].every((command) => spawnSync(command, ['-version']).status === 0);
if (!hasJava) console.log('The code of docs/tools/java.md is not run, because a JDK or Maven is not installed.');

if (hasJava) {
  describe('docs/tools/java.md', () => {
    let folder: string;
    before(() => {
      folder = mkdtempSync(join(tmpdir(), 'page-'));
    });
    after(() => {
      rmSync(folder, { recursive: true });
    });

    it('The test runs all code of the page', () => {
      expect(headingsWithCode('java.md')).to.deep.equal(['Nimbus']);
      expect(codeOf('java.md', 'Nimbus')).to.have.length(1);
    });

    it('Nimbus: the platform accepts every client assertion through three rotations', async () => {
      const [code = ''] = codeOf('java.md', 'Nimbus');
      writeFileSync(join(folder, 'ClientAssertion.java'), code);
      copyFileSync(join(here, 'Tool.java'), join(folder, 'Tool.java'));
      const classPath = installed();
      execFileSync('javac', ['-cp', classPath, 'ClientAssertion.java', 'Tool.java'], { cwd: folder });
      const outcome = await throughThreeRotations(
        async (mount, platform) => toolProcess('java', ['-cp', `${classPath}:${folder}`, 'Tool', mount.path], platform),
        { readsForEachToken: true },
      );
      expect(outcome).to.deep.equal({ accepted: tokens, refused: [] });
    }).timeout(240_000);
  });
}
