import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ledgerSecretType, operatorName } from '../../../src/api/names.ts';
import { seconds } from '../narrator.ts';
import type { Scene, Story } from './story.ts';

/** docs/guides/backup-and-restore.md: a namespace is deleted with every key in it, and comes back from two files. */
export const restore: Story = {
  title: 'a namespace with all its keys is deleted and restored from a backup',
  durations: { rotateAfter: '10m', activationDelay: '6s', overlap: '5m' },
  async run(scene) {
    const { controlPlane, operator, namespace, registration, jwksUrl, narrator, keys, tally, edit, until } = scene;
    const next = `${registration}-2`;
    narrator.say('A rotation, so that there is more to lose than one key.');
    await edit({ rotationTrigger: 'staff change' });
    await until(`key ${next} signs`, () => keys.state(next) === 'Active');
    await until(`the tool signs with ${next}`, () => tally.count(keys.keyID(next)) > 1);
    const document = await documentOf(jwksUrl);
    const ids = await keyIDs(scene);

    narrator.say(
      'The backup: ledgers, in which private keys are sealed, and registrations. The KEK is kept elsewhere.',
    );
    const ledgers = await dump(scene, 'ledgers.yaml', ['secrets', `--field-selector=type=${ledgerSecretType}`]);
    const registrations = await dump(scene, 'registrations.yaml', ['ltiregistrations']);

    narrator.say('The disaster: the namespace is deleted, with the operator scaled down so that it cannot help.');
    await operator.controller.kill();
    // A controller that is scaled down gives its Lease back; a killed one leaves it behind.
    await controlPlane.kubectlRun(['delete', 'lease', operatorName, '--namespace', operatorName]);
    await narrator.kubectl(controlPlane, ['delete', 'namespace', namespace]);
    await narrator.kubectl(controlPlane, ['get', 'ltiregistrations,ltikeys', '--all-namespaces', '--ignore-not-found']);
    narrator.say('The sidecar keeps serving its documents, and the tool keeps signing with its mounted key.');
    const signed = tally.signed;
    await until('tokens are signed meanwhile', () => tally.signed > signed + 2);

    narrator.say('The restore, still without the operator, so that the order of the files does not matter:');
    await narrator.kubectl(controlPlane, ['create', 'namespace', namespace]);
    await narrator.kubectl(controlPlane, ['create', '--filename', registrations]);
    await narrator.kubectl(controlPlane, ['create', '--filename', ledgers]);
    narrator.say('The operator is scaled up.');
    const startedAt = performance.now();
    await operator.controller.start();
    await until('every LtiKey is there again', async () => (await keyIDs(scene)) === ids);
    await until('the JWKS is the same to the byte', async () => (await documentOf(jwksUrl)) === document);
    narrator.say(`The JWKS is complete ${seconds(performance.now() - startedAt)} s after the start of the controller.`);
    narrator.say('In between it knew no registration, and verifiers went on with what they had fetched before.');
    const ready = ['wait', '--for=condition=Ready', '--timeout=60s', 'ltiregistrations', '--all'];
    await narrator.kubectl(controlPlane, [...ready, '--namespace', namespace]);
    narrator.say('The same keys under the same names and IDs, and the same JWKS to the byte; nothing was rotated:');
    const columns = 'custom-columns=KEY:.metadata.name,STATE:.status.state,KEY ID:.spec.keyID';
    await narrator.kubectl(controlPlane, ['get', 'ltikeys', '--namespace', namespace, '--output', columns]);
    const before = tally.signed;
    await until(`the tool signs with the key of its new Secret`, () => tally.signed > before + 2);
    if (tally.latestKeyID() !== keys.keyID(next)) throw new Error('The tool was given another key.');
  },
};

/** `kubectl get … --output yaml > file`; returns the file. */
async function dump({ controlPlane, narrator, namespace }: Scene, name: string, what: string[]): Promise<string> {
  const folder = join(controlPlane.folder, 'backup');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const args = ['get', ...what, '--namespace', namespace, '--output', 'yaml'];
  const { code, stdout, stderr } = await controlPlane.kubectlRun(args);
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr.trim()}`);
  await writeFile(join(folder, name), stdout, { mode: 0o600 });
  narrator.print(`\n$ kubectl ${args.join(' ')} > ${name}\n`);
  return join(folder, name);
}

/** Names and key IDs of all LtiKeys. */
async function keyIDs({ controlPlane, namespace }: Scene): Promise<string> {
  const words = 'jsonpath={range .items[*]}{.metadata.name} {.spec.keyID} {.status.state}{"\\n"}{end}';
  const { stdout } = await controlPlane.kubectlRun(['get', 'ltikeys', '--namespace', namespace, '--output', words]);
  return stdout;
}

async function documentOf(url: string): Promise<string> {
  return (await fetch(url)).text();
}
