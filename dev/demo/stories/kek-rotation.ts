import { randomBytes } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Scene, Story } from './story.ts';

const former = 'kek-1';
const present = 'kek-2';

/** docs/guides/rotate-a-kek.md, step by step; at the end a signing key is rotated, for which the former KEK is not needed. */
export const kekRotation: Story = {
  title: 'the key that seals all private keys is replaced',
  durations: { rotateAfter: '10m', activationDelay: '6s', overlap: '2m' },
  async run(scene) {
    const { registration, jwksUrl, operator, narrator, keys, tally, edit, until } = scene;
    const file = (name: string): string => join(operator.kekDirectory, name);
    const next = `${registration}-2`;
    const before = await documentOf(jwksUrl);
    narrator.say(`Every private key is sealed under the key-encryption key ${former}:`);
    await showKeks(scene);

    narrator.say(`1. ${present} is added beside it: openssl rand -base64 32 > ${present}`);
    await writeFile(file(present), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
    narrator.say('2. Every replica has it: in a cluster a mounted Secret follows within about two minutes.');
    narrator.say(`3. It is promoted: echo ${present} > primary`);
    await writeFile(file('primary'), `${present}\n`);
    await until(`every key is sealed under ${present}`, async () =>
      (await kekIDs(scene)).every((id) => id === present),
    );
    narrator.say('The operator decrypted each private key, sealed it again, and verified the result:');
    await showKeks(scene);
    if ((await documentOf(jwksUrl)) !== before) throw new Error('The JWKS changed.');
    narrator.say('No key was rotated: the JWKS is the same to the byte.');

    let said: string | undefined;
    await until(`the log says that ${former} is unused`, async () => {
      said = await unusedLine(scene);
      return said !== undefined;
    });
    narrator.say(`4. The controller logs that ${former} is unused:`);
    narrator.print(`\n${said}\n`);
    narrator.say(`5. It is removed: rm ${former}`);
    await rm(file(former));

    narrator.say(`A rotation of a signing key shows that nothing misses it.`);
    await edit({ rotationTrigger: 'staff change' });
    await until(`key ${next} signs`, () => keys.state(next) === 'Active');
    await until(`the tool signs with ${next}`, () => tally.count(keys.keyID(next)) > 1);
    await showKeks(scene);
  },
};

function showKeks({ controlPlane, narrator, namespace }: Scene): Promise<void> {
  const columns = 'custom-columns=KEY:.metadata.name,STATE:.status.state,KEK:.status.kekID';
  return narrator.kubectl(controlPlane, ['get', 'ltikeys', '--namespace', namespace, '--output', columns]);
}

async function kekIDs({ controlPlane, namespace }: Scene): Promise<string[]> {
  const words = 'jsonpath={.items[*].status.kekID}';
  const { stdout } = await controlPlane.kubectlRun(['get', 'ltikeys', '--namespace', namespace, '--output', words]);
  return stdout.split(' ');
}

async function unusedLine({ controlPlane }: Scene): Promise<string | undefined> {
  const lines = (await readFile(join(controlPlane.folder, 'controller.log'), 'utf8')).split('\n');
  return lines.find((line) => line.includes(`"${former}"`) && line.includes('it may be removed'));
}

async function documentOf(url: string): Promise<string> {
  return (await fetch(url)).text();
}
