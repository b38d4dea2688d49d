import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { expect } from 'chai';
import { compactVerify, CompactSign, createLocalJWKSet, importPKCS8, type JSONWebKeySet } from 'jose';
import type { ControlPlane } from '../../dev/control-plane/control-plane.ts';
import { startControlPlane } from '../../dev/control-plane/start.ts';
import type { LtiRegistration } from '../../src/api/objects.ts';
import { eventually, type RunningCommand } from '../fixtures/command.ts';
import { buildIfStale, installOperator, kubectl } from '../fixtures/installed.ts';
import { Pod } from '../fixtures/pod.ts';
import { TestRegistration } from '../fixtures/registration.ts';
import { controlPlane, createNamespace } from '../fixtures/control-plane.ts';

/**
 * What `kubectl get` prints on one control plane is given to `kubectl create` on another one, with the garbage collector running
 * on both. The operator is the built one. backup-guide.test.ts follows docs/guides/backup-and-restore.md to the letter.
 */
describe('Backup and restore', function () {
  const names = ['canvas', 'moodle'] as const;
  let namespace: string;
  let there: ControlPlane;
  let kubeconfigThere: string;
  let source: Pod;
  let kekID: string;
  let controller: RunningCommand | undefined;
  let target: Pod;
  /** What was backed up, and how it looked when it was. */
  let backup: { ledgers: string; registrations: string; keys: string; deliveries: string; canaries: string };
  let looks: readonly Look[];
  /** What still asks for documents. */
  const watched: AbortController[] = [];

  interface Look {
    readonly document: string;
    readonly ledger: string;
    readonly keys: readonly (readonly unknown[])[];
    readonly kid: string | undefined;
  }

  before(async () => {
    await buildIfStale();
    const kubeconfig = await installOperator(controlPlane());
    namespace = await createNamespace('backup');
    source = await Pod.create({ kubeconfig, namespace });
    const running = [source.startSidecar(), source.startController()];
    await source.ready();
    await liveALittle();
    kekID = readFileSync(join(source.kekDir, 'primary'), 'utf8').trim();
    const lookAtAll = (): Promise<readonly Look[]> =>
      Promise.all(names.map((name) => look(controlPlane(), source, name)));
    await eventually('nothing changes during the backup', async () => {
      looks = await lookAtAll();
      backup = await takeBackup();
      expect(await lookAtAll()).to.deep.equal(looks);
      return true;
    });
    expect(looks[0]?.keys.map(([, , state]) => state)).to.deep.equal(['Retired', 'Retiring', 'Active', 'Next']);
    await Promise.all(running.map((command) => command.kill()));
    there = await startControlPlane({ controllerManager: true });
    kubeconfigThere = await installOperator(there);
    // The garbage collector learns of new kinds every half minute, and of those that exist when it starts.
    await there.controllerManager?.kill();
    await there.controllerManager?.start();
    await kubectl(there, ['create', 'namespace', namespace]);
    await create(backup.canaries);
  });
  after(async () => {
    await source.remove();
    await there?.stop();
  });

  beforeEach(async () => {
    target = await Pod.create({ kubeconfig: kubeconfigThere, namespace });
    target.startSidecar();
  });
  afterEach(async function () {
    for (const watching of watched.splice(0)) watching.abort();
    if (this.currentTest?.state === 'failed') console.log(target.output().slice(-6000));
    await target.remove();
    await removeEverything();
  });

  /** Four keys in four states, by a trigger in Git, another one and a request; and a registration that just has its key. */
  async function liveALittle(): Promise<void> {
    const canvas = new TestRegistration(controlPlane(), namespace, 'canvas');
    const moodle = new TestRegistration(controlPlane(), namespace, 'moodle');
    try {
      await Promise.all([canvas.apply({ activationDelay: '1s', overlap: '1s', rotateAfter: '2h' }), moodle.apply()]);
      await Promise.all([canvas.isReady(), moodle.isReady()]);
      await canvas.rotate('one');
      await canvas.becomes('Retired,Active');
      await canvas.apply({ activationDelay: '1s', overlap: '30m', rotateAfter: '2h', rotationTrigger: 'two' });
      await canvas.becomes('Retired,Retiring,Active');
      await canvas.apply({ activationDelay: '30m', overlap: '30m', rotateAfter: '2h', rotationTrigger: 'two' });
      const request = 'ltikeys.dev/rotate-requested-at=2026-11-23T12:00:00Z';
      await kubectl(controlPlane(), ['annotate', 'ltiregistration', 'canvas', '--namespace', namespace, request]);
      await canvas.becomes('Retired,Retiring,Active,Next');
      await eventually('all of it is served', async () => (await fetchKeySet(source, 'canvas')).keys.length === 3);
      await eventually('the next key was observed', async () => (await canvas.ledger()).keys.at(-1)?.publishedAt);
      await canvas.isReady();
    } finally {
      await Promise.all([canvas.client.close(), moodle.client.close()]);
    }
  }

  async function takeBackup(): Promise<typeof backup> {
    const dump = (...what: string[]): Promise<string> => kubectl(controlPlane(), ['get', ...what, '--output', 'yaml']);
    const here = ['--namespace', namespace];
    return {
      ledgers: await dump('secrets', '--field-selector', 'type=ltikeys.dev/ledger', ...here),
      registrations: await dump('ltiregistrations', ...here),
      keys: await dump('ltikeys', ...here),
      deliveries: await dump('secret', 'canvas-signing-key', 'moodle-signing-key', ...here),
      canaries: await dump('secret', 'lti-key-operator-kek-canaries', '--namespace', 'lti-key-operator'),
    };
  }

  const create = (manifest: string): Promise<string> => kubectl(there, ['create', '--filename', '-'], manifest);

  async function look(plane: ControlPlane, pod: Pod, name: string): Promise<Look> {
    const registration = new TestRegistration(plane, namespace, name);
    try {
      const [response, ledger, keys] = await Promise.all([
        fetch(pod.registrationUrl(name)),
        registration.ledgerSecret(),
        registration.keys(),
      ]);
      expect(response.status).to.equal(200);
      return {
        document: await response.text(),
        ledger: withoutPublicationOfNext(Buffer.from(ledger.data!['ledger.json']!, 'base64').toString()),
        keys: keys.map(({ metadata, spec, status }) => [metadata.name, spec.keyID, status?.state]),
        kid: (await registration.delivered().catch(() => undefined))?.['kid'],
      };
    } finally {
      await registration.client.close();
    }
  }

  /** The activation delay of a key that was away from the documents starts again when it is back. */
  function withoutPublicationOfNext(ledger: string): string {
    const { serial: _, ...content }: { serial: number; keys: { state: string; publishedAt?: string }[] } =
      JSON.parse(ledger);
    for (const key of content.keys) if (key.state === 'Next') delete key.publishedAt;
    return JSON.stringify(content);
  }

  async function fetchKeySet(pod: Pod, name: string): Promise<JSONWebKeySet> {
    return (await (await fetch(pod.registrationUrl(name))).json()) as JSONWebKeySet;
  }

  async function looksAsBefore(name: (typeof names)[number]): Promise<void> {
    await eventually(`${name} looks as before`, async () => {
      expect(await look(there, target, name)).to.deep.equal(looks[names.indexOf(name)]);
      return true;
    });
  }

  /** What a person with a restored cluster wants to see. */
  async function expectEverythingBack(): Promise<void> {
    for (const name of names) {
      const registration = new TestRegistration(there, namespace, name);
      try {
        await registration.isReady();
        await looksAsBefore(name);
        const object = await registration.get();
        expect(registration.condition('KeyMaterialAvailable', object)).to.include({ status: 'True' });
        expect(registration.condition('Stalled', object)).to.include({ status: 'False' });
        for (const { metadata, status } of await registration.keys()) {
          if (status?.state === 'Retired') continue;
          expect(status?.conditions?.[0], metadata.name).to.include({ type: 'KeyMaterialAvailable', status: 'True' });
        }
        const { kid, 'private.pem': pem } = await registration.delivered();
        const signing = await importPKCS8(pem!, 'RS256');
        const token = await new CompactSign(Buffer.from('now'))
          .setProtectedHeader({ alg: 'RS256', kid: kid! })
          .sign(signing);
        await compactVerify(token, createLocalJWKSet(await fetchKeySet(target, name)));
      } finally {
        await registration.client.close();
      }
    }
  }

  /** Asks for the document over and over until it is stopped; tells what it was whenever it was there. */
  function watchDocument(name: string): { stop(): Promise<readonly string[]> } {
    const over = new AbortController();
    watched.push(over);
    const bodies = new Set<string>();
    const watching = (async () => {
      while (!over.signal.aborted) {
        const response = await fetch(target.registrationUrl(name)).catch(() => undefined);
        const body = await response?.text();
        if (response?.ok) bodies.add(body!);
        await setTimeout(2);
      }
    })();
    return {
      async stop() {
        over.abort();
        await watching;
        return [...bodies];
      },
    };
  }

  /** Until an object with an owner that does not exist is collected, the garbage collector may not have looked. */
  async function garbageIsCollected(): Promise<void> {
    const garbage = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: 'garbage',
        namespace,
        ownerReferences: [
          { apiVersion: 'ltikeys.dev/v1alpha1', kind: 'LtiRegistration', name: 'canvas', uid: crypto.randomUUID() },
        ],
      },
    };
    await create(JSON.stringify(garbage));
    await eventually('garbage is collected', async () => {
      const found = await there.kubectlRun(['get', 'configmap', 'garbage', '--namespace', namespace]);
      return found.code !== 0;
    });
  }

  const uids = (): Promise<string> =>
    kubectl(there, [
      'get',
      'secrets,ltiregistrations,ltikeys',
      '--namespace',
      namespace,
      '--output',
      'jsonpath={range .items[*]}{.metadata.name}={.metadata.uid}{"\\n"}{end}',
    ]);

  async function removeEverything(): Promise<void> {
    const all = ['--all', '--namespace', namespace];
    await kubectl(there, ['delete', 'ltiregistrations', ...all]);
    await kubectl(there, ['delete', 'secrets,ltikeys', ...all]);
  }

  for (const order of [
    ['ledgers', 'registrations'],
    ['registrations', 'ledgers'],
  ] as const) {
    it(`A backup restores everything with the operator scaled down, first ${order[0]}, then ${order[1]}`, async () => {
      for (const part of order) await create(backup[part]);
      const seen = watchDocument('canvas');
      await startOperator();
      await expectEverythingBack();
      expect(await seen.stop(), 'the document is whole or missing').to.deep.equal([looks[0]!.document]);
      const before = await uids();
      await garbageIsCollected();
      expect(await uids(), 'nothing was collected').to.equal(before);
      await expectEverythingBack();
    });
  }

  it('A backup restores everything beside a running operator if the ledgers come first', async () => {
    await startOperator();
    await create(backup.ledgers);
    await create(backup.registrations);
    await expectEverythingBack();
  });

  for (const { what, parts } of [
    { what: 'LtiKeys', parts: ['keys', 'registrations'] },
    { what: 'delivery Secrets', parts: ['deliveries', 'registrations'] },
  ] as const) {
    it(`A running operator waits for the ledgers if ${what} are restored before them`, async () => {
      await startOperator();
      for (const part of parts) await create(backup[part]);
      const canvas = at('canvas');
      try {
        await eventually('it says so', async () => says(await canvas.get(), 'Stalled', 'True LedgerMissing'));
        await expectNoLedgers();
      } finally {
        await canvas.client.close();
      }
      await create(backup.ledgers);
      await expectEverythingBack();
    });
  }

  it('A backup does not overwrite the keys that a running operator made for registrations restored without ledgers', async () => {
    await startOperator();
    await create(backup.registrations);
    for (const name of names) {
      const registration = at(name);
      await registration.isReady();
      await registration.client.close();
    }
    const made = await Promise.all(names.map((name) => look(there, target, name)));
    for (const [verb, why] of [
      ['create', 'AlreadyExists'],
      ['replace', 'Conflict'],
    ] as const) {
      const { code, stderr } = await there.kubectlRun([verb, '--filename', '-'], { input: backup.ledgers });
      expect(code, verb).to.equal(1);
      expect(stderr).to.include(`(${why})`);
    }
    expect(await Promise.all(names.map((name) => look(there, target, name)))).to.deep.equal(made);

    await scaleDown();
    await removeEverything();
    await create(backup.ledgers);
    await create(backup.registrations);
    await startOperator();
    await expectEverythingBack();
  });

  it('A backup without its KEK is reported and published in full, gets no new key, and recovers when the KEK is back', async () => {
    await create(backup.ledgers);
    await create(backup.registrations);
    controller = target.startController(probing());
    const [canvas, moodle] = [at('canvas'), at('moodle')];
    try {
      for (const [index, registration] of [canvas, moodle].entries()) {
        await eventually('it says so', async () =>
          says(await registration.get(), 'KeyMaterialAvailable', 'False SealKEKMissing'),
        );
        const object = await registration.get();
        expect(registration.condition('KeyMaterialAvailable', object)?.message).to.include(kekID);
        await eventually('the whole document is served', async () => {
          const { document, keys, ledger } = await look(there, target, registration.name);
          expect({ document, keys, ledger }).to.deep.equal({
            document: looks[index]!.document,
            keys: looks[index]!.keys,
            ledger: looks[index]!.ledger,
          });
          return true;
        });
      }
      await moodle.rotate('now');
      await eventually('the request was seen', async () => {
        const { metadata, status } = await moodle.get();
        return status?.observedGeneration === metadata.generation;
      });
      expect((await look(there, target, 'moodle')).ledger).to.equal(looks[1]!.ledger);

      target.shareKek(source);
      await canvas.isReady();
      await looksAsBefore('canvas');
      await moodle.becomes('Active,Next');
      expect((await moodle.keys())[0]?.spec.keyID).to.equal(looks[1]!.kid);
    } finally {
      await Promise.all([canvas.client.close(), moodle.client.close()]);
    }
  });

  it('A backup with its canaries refuses another KEK under the name of the missing one', async () => {
    target.shareKek(source);
    writeFileSync(join(target.kekDir, kekID), `${randomBytes(32).toString('base64')}\n`);
    await create(backup.ledgers);
    await create(backup.registrations);
    controller = target.startController(probing());
    const other = at('sakai');
    try {
      await other.apply();
      await eventually('it says so', async () => says(await other.get(), 'KeyMaterialAvailable', 'False KEKChanged'));
      const { code } = await there.kubectlRun(['get', 'secret', 'sakai-lti-keys', '--namespace', namespace]);
      expect(code, 'no ledger').to.equal(1);
      await eventually('the JWKS is complete', async () => {
        const response = await fetch(target.registrationUrl('canvas'));
        return (await response.text()) === looks[0]!.document;
      });
    } finally {
      await other.client.close();
    }
  });

  const at = (name: string): TestRegistration => new TestRegistration(there, namespace, name);
  const probing = (): string[] => [`--jwks-probe-url=${target.jwksUrl}`, '--resync=10s'];

  async function startOperator(): Promise<void> {
    target.shareKek(source);
    controller = target.startController(probing());
    await target.ready();
  }

  async function scaleDown(): Promise<void> {
    await controller?.kill();
  }

  function says({ status }: LtiRegistration, type: string, verdict: string): boolean {
    const condition = status?.conditions?.find((each) => each.type === type);
    const said = `${condition?.status} ${condition?.reason}`;
    if (said !== verdict) throw new Error(`it says ${type}=${said}: ${condition?.message}`);
    return true;
  }

  async function expectNoLedgers(): Promise<void> {
    const found = await kubectl(there, [
      'get',
      'secrets',
      '--namespace',
      namespace,
      '--field-selector',
      'type=ltikeys.dev/ledger',
      '--output',
      'name',
    ]);
    expect(found).to.equal('');
  }
});
