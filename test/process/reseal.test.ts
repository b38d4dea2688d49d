import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import {
  apiVersion,
  ledgerEntry,
  ledgerSecretName,
  ledgerSecretType,
  ltiKeys,
  ltiRegistrations,
  registrationLabel,
  secrets,
} from '../../src/api/names.ts';
import { sealedEntry } from '../../src/crypto/sealed-entry.ts';
import type { LtiKey, LtiRegistration } from '../../src/api/objects.ts';
import { FileKekProvider } from '../../src/crypto/file-kek-provider.ts';
import { generateKeyPair, type KeyPair, publicJwk } from '../../src/crypto/key-pair.ts';
import { open, seal } from '../../src/crypto/seal.ts';
import { namedKek } from '../../src/crypto/sealed-format.ts';
import { day, hour, minute } from '../../src/domain/duration.ts';
import { parseLedger, serializeLedger } from '../../src/domain/ledger-format.ts';
import { emptyLedger, type Ledger } from '../../src/domain/ledger.ts';
import { KubeClient } from '../../src/kube/client.ts';
import type { Secret } from '../../src/kube/objects.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { controlPlane, createNamespace } from '../fixtures/control-plane.ts';
import { kubeconfigVia } from '../fixtures/accelerated-life.ts';
import { type FaultProxy, startProxy } from '../fixtures/fault-proxy.ts';
import { eventually, type RunningCommand } from '../fixtures/command.ts';
import { buildIfStale, installOperator } from '../fixtures/installed.ts';
import { Pod } from '../fixtures/pod.ts';

/** Keys in ledgers of two: one that signs and one that retires. LTI_RESEAL is their number, 1000 for the whole proof. */
const keyCount = Number(process.env['LTI_RESEAL'] ?? 200);
const ledgerCount = keyCount / 2;
/** Generating takes long, so registrations share these; what is sealed is bound to its registration all the same. */
const pairCount = 20;
const writesPerLife = 10;
const atATime = 8;

interface Made {
  readonly name: string;
  readonly ledger: Ledger;
}

describe('A new key-encryption key', function () {
  this.timeout(900_000);
  let namespace: string;
  let client: KubeClient;
  let proxy: FaultProxy;
  let pod: Pod;
  let folder: string;
  let former: string;
  let controller: RunningCommand;
  let made: readonly Made[];

  before(async () => {
    await buildIfStale();
    folder = mkdtempSync(join(tmpdir(), 'lti-reseal-'));
    const direct = await installOperator(controlPlane());
    client = KubeClient.load({ kubeconfig: controlPlane().kubeconfig, clock: systemClock });
    proxy = await startProxy(controlPlane());
    namespace = await createNamespace('reseal');
    pod = await Pod.create({ kubeconfig: kubeconfigVia(direct, proxy.url, folder), namespace });
    former = readFileSync(join(pod.kekDir, 'primary'), 'utf8').trim();
    const pairs = await Promise.all(Array.from({ length: pairCount }, () => generateKeyPair(2048)));
    const keks = new FileKekProvider({ directory: pod.kekDir, clock: systemClock });
    made = await forEach(ledgerCount, (index) =>
      makeLedger(`tool-${index}`, [pairs[(2 * index) % pairCount]!, pairs[(2 * index + 1) % pairCount]!], keks),
    );
  });
  after(async () => {
    await pod.remove();
    await proxy.close();
    await client.close();
    rmSync(folder, { recursive: true });
  });

  it(`A new key-encryption key seals all ${keyCount} private keys while the controller is killed at every ${writesPerLife}th ledger write`, async () => {
    const start = (): void =>
      void (controller = pod.startController([`--jwks-probe-url=${pod.jwksUrl}`, '--log-level=info']));
    start();
    await shown(former);
    await counted('before', { [former]: keyCount });
    const present = `${former}-2`;
    let writes = 0;
    let kills = 0;
    proxy.decide = ({ namespace: where, what }) => {
      if (where !== namespace || !/^PUT secrets\/.*-lti-keys$/.test(what)) return undefined;
      writes += 1;
      if (writes % writesPerLife !== 0) return undefined;
      kills += 1;
      const crash = async (): Promise<void> => {
        await controller.kill();
        start();
      };
      return { kind: kills % 2 === 0 ? 'before' : 'after', crash };
    };
    const began = performance.now();
    writeFileSync(join(pod.kekDir, present), `${randomBytes(32).toString('base64')}\n`);
    writeFileSync(join(pod.kekDir, 'primary'), `${present}\n`);
    await shown(present);
    const seconds = ((performance.now() - began) / 1000).toFixed(0);
    expect(kills).to.be.at.least(Math.floor(ledgerCount / writesPerLife));
    await counted('afterwards', { [former]: 0, [present]: keyCount });

    const alone = directoryWithout(former, present);
    const outcomes = (await forEach(ledgerCount, (index) => examine(made[index]!, alone, present))).flat();
    expect(outcomes.filter((outcome) => outcome !== 'opens')).to.deep.equal([]);
    expect(outcomes.length).to.equal(keyCount);
    console.log(
      `      ${keyCount} of ${keyCount} keys open after ${writes} ledger writes and ${kills} kills, ${seconds} s`,
    );
  });

  async function makeLedger(name: string, [old, active]: [KeyPair, KeyPair], keks: FileKekProvider): Promise<Made> {
    const now = Date.now();
    const row = (pair: KeyPair, revision: number) => ({
      revision,
      keyID: pair.keyID,
      algorithm: pair.algorithm,
      size: pair.size,
      publicJWK: pair.publicJWK,
      cause: 'Schedule' as const,
      createdAt: now - day,
      publishedAt: now - day,
      activatedAt: now - hour,
    });
    const ledger: Ledger = {
      ...emptyLedger(namespace, name),
      issuer: 'https://platform.example',
      serial: 7,
      highestRevision: 2,
      activeKeyID: active.keyID,
      keys: [
        { ...row(old, 1), state: 'Retiring', stoppedSigningAt: now - minute, retireAt: now - minute + 2 * day },
        { ...row(active, 2), state: 'Active' },
      ],
    };
    const sealed = await Promise.all(
      [old, active].map(async ({ keyID, privateKey }) => {
        const { jwe } = await seal(privateKey, { namespace, registration: name, keyID }, keks);
        return [sealedEntry(keyID), encode(jwe)];
      }),
    );
    await client.create<Secret>(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: ledgerSecretName(name), namespace, labels: { [registrationLabel]: name } },
      type: ledgerSecretType,
      data: { [ledgerEntry]: encode(serializeLedger(ledger)), ...Object.fromEntries(sealed) },
    });
    await client.create<LtiRegistration>(ltiRegistrations, {
      apiVersion,
      kind: 'LtiRegistration',
      metadata: { name, namespace },
      spec: { issuer: 'https://platform.example', overlap: '48h' } as LtiRegistration['spec'],
    });
    return { name, ledger };
  }

  /** Until kubectl shows every key as sealed under the KEK. */
  async function shown(kekID: string): Promise<void> {
    await eventually(
      `${keyCount} LtiKeys name ${kekID}`,
      async () => {
        const { items } = await client.list<LtiKey>(ltiKeys, { namespace });
        const there = items.filter(({ status }) => status?.kekID === kekID).length;
        if (there !== keyCount) throw new Error(`${there} do`);
        return true;
      },
      60_000 + keyCount * 1000,
    );
  }

  /** Until the leader has read every ledger, and then exactly this. */
  async function counted(when: string, expected: Readonly<Record<string, number>>): Promise<void> {
    const lines = Object.entries(expected).map(([kekID, count]) => `lti_sealed_keys{kek_id="${kekID}"} ${count}`);
    await eventually(
      `the metrics say ${when}: ${lines.join(', ')}`,
      async () => {
        const text = await (await fetch(`${pod.controllerAdminUrl}/metrics`)).text();
        const said = text.split('\n').filter((line) => line.startsWith('lti_sealed_keys'));
        // Canaries of other tests name KEKs as well, with nothing sealed under them.
        expect(said.filter((line) => !line.endsWith(' 0'))).to.have.members([
          ...lines.filter((line) => !line.endsWith(' 0')),
          'lti_sealed_keys_complete 1',
        ]);
        expect(said).to.include.members(lines);
        return true;
      },
      60_000,
    );
  }

  /** For each key `opens`, or what is wrong; without the former KEK at hand. */
  async function examine({ name, ledger }: Made, keks: FileKekProvider, kekID: string): Promise<string[]> {
    const { data } = await client.get<Secret>(secrets, namespace, ledgerSecretName(name));
    const text = (entry: string): string => Buffer.from(data![entry]!, 'base64').toString();
    const stored = parseLedger(text(ledgerEntry), namespace, name);
    expect(stored, name).to.deep.equal({ ...ledger, serial: stored.serial });
    expect(Object.keys(data!).length, `entries of ${name}`).to.equal(3);
    return Promise.all(
      ledger.keys.map(async ({ keyID }) => {
        const jwe = text(sealedEntry(keyID));
        if (namedKek(jwe) !== kekID) return `${name} ${keyID} is sealed under the former`;
        const { kid } = publicJwk(await open(jwe, { namespace, registration: name, keyID }, keks));
        return kid === keyID ? 'opens' : `${name} ${keyID} is ${kid}`;
      }),
    );
  }

  function directoryWithout(removed: string, present: string): FileKekProvider {
    const directory = join(folder, `without-${removed}`);
    mkdirSync(directory);
    for (const file of [present, 'primary']) writeFileSync(join(directory, file), readFileSync(join(pod.kekDir, file)));
    return new FileKekProvider({ directory, clock: systemClock });
  }
});

/** A few at a time, in order of their index. */
async function forEach<T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next++;
      results[index] = await work(index);
    }
  };
  await Promise.all(Array.from({ length: atATime }, worker));
  return results;
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}
