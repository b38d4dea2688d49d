import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KeyObject } from 'node:crypto';
import { expect } from 'chai';
import { allKeysPath, namespacePath } from '../src/api/names.ts';
import { sealedEntry } from '../src/crypto/sealed-entry.ts';
import { FileKekProvider } from '../src/crypto/file-kek-provider.ts';
import { privatePem } from '../src/crypto/key-pair.ts';
import { open } from '../src/crypto/seal.ts';
import { systemClock } from '../src/lib/clock.ts';
import { controlPlane, createNamespace } from './fixtures/control-plane.ts';
import { buildIfStale, installOperator, kubectl } from './fixtures/installed.ts';
import { Pod } from './fixtures/pod.ts';
import { TestRegistration } from './fixtures/registration.ts';

const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi'] as const;

/**
 * Texts that must not occur anywhere. Every private member in hex, and in base64 and base64url at each of the three
 * positions that it may have in longer bytes; the lines of the PEM that hold nothing public; and all of these once more in
 * base64, as the API carries Secrets. Of each, a piece from its middle: a text that was cut off is found as well.
 */
function needlesOf(privateKey: KeyObject): string[] {
  const jwk = privateKey.export({ format: 'jwk' }) as Record<(typeof privateMembers)[number], string>;
  const members = privateMembers.flatMap((member) => {
    const bytes = Buffer.from(jwk[member], 'base64url');
    return [bytes.toString('hex'), bytes.toString('hex').toUpperCase(), ...alignments(bytes)];
  });
  // The last lines of PKCS #8 hold the second half of q, dp, dq and qi.
  const pemLines = privatePem(privateKey).trim().split('\n').slice(-10, -2);
  const texts = [...members, ...pemLines];
  return [...texts, ...texts.flatMap((text) => alignments(Buffer.from(text)))].map((text) => text.slice(8, 48));
}

function alignments(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .slice(4, -4);
    return [text, text.replaceAll('+', '-').replaceAll('/', '_')];
  });
}

describe('Private keys after a rotation, with everything logged', () => {
  const plane = controlPlane;
  const needles: string[] = [];
  const places = new Map<string, string>();
  let pod: Pod;
  let registration: TestRegistration;

  before(async () => {
    await buildIfStale();
    const kubeconfig = await installOperator(plane());
    const namespace = await createNamespace('secrets');
    pod = await Pod.create({ kubeconfig, namespace });
    registration = new TestRegistration(plane(), namespace, 'canvas');
    pod.startSidecar();
    const controller = pod.startController();
    places.set('answer before the first sync', await body(pod.registrationUrl('canvas')));
    await pod.ready();
    // Long enough for everything to be collected while both keys are there.
    await registration.apply({ activationDelay: '6s', overlap: '6s' });
    await registration.isReady();
    await registration.rotate('one');
    await registration.becomes('Active,Next');
    needles.push(...(await openLedger()));
    await collect('during the rotation');
    await registration.becomes('Retired,Active');
    await registration.isReady();
    await collect('after it');
    controller.signal('SIGTERM');
    await controller.exited;
    places.set('logs', pod.output());
    const { auditLogFile } = plane();
    if (auditLogFile !== undefined) {
      const lines = readFileSync(auditLogFile, 'utf8').split('\n');
      places.set('audit log', lines.filter((line) => line.includes(namespace)).join('\n'));
    }
  });
  after(async () => {
    await pod.remove();
    await registration.client.close();
  });

  it('Private keys are in none of the logs, events, objects, metrics, documents and answers', () => {
    expect(needles.length).to.be.greaterThan(400);
    for (const [place, text] of places) {
      expect(text, place).not.to.equal('');
      expect(found(text), place).to.equal(0);
    }
  });

  it('The search finds private keys where they are: in the delivery Secret and in a planted log line', async () => {
    const stored = JSON.stringify(await registration.secret(registration.deliverySecretName));
    expect(found(stored), 'as the API carries it').to.be.greaterThan(6);
    const { 'private.jwk': jwk = '', 'private.pem': pem = '' } = await registration.delivered();
    expect(found(jwk)).to.be.at.least(6);
    expect(found(pem)).to.be.at.least(6);
    const { d } = JSON.parse(jwk) as { d: string };
    for (const planted of [
      d,
      Buffer.from(d, 'base64url').toString('hex'),
      Buffer.from(`{"d":"${d}"}`).toString('base64'),
    ]) {
      const line = JSON.stringify({ level: 'info', message: `key ${planted.slice(0, 120)}` });
      expect(found(`${places.get('logs')}${line}`), planted.slice(0, 4)).to.be.greaterThan(0);
    }
  });

  it('The searched logs, events and documents show a rotation', () => {
    expect(places.get('logs')).to.include('KeyRetired').and.include('serving JWKS');
    expect(places.get('events after it')).to.include('KeyActivated');
    expect(places.get('objects after it')).to.include('publicJWK');
    expect(places.get('publish directory after it')).to.include('"kid"');
    if (places.has('audit log')) expect(places.get('audit log')).to.match(/"level":"Metadata".*canvas-lti-keys/);
  });

  function found(text: string): number {
    return needles.filter((needle) => text.includes(needle)).length;
  }

  async function openLedger(): Promise<string[]> {
    const { namespace, name } = registration;
    const [secret, ledger] = [await registration.ledgerSecret(), await registration.ledger()];
    const keks = new FileKekProvider({ directory: pod.kekDir, clock: systemClock });
    const opened = ledger.keys.map(({ keyID }) => {
      const jwe = Buffer.from(secret.data![sealedEntry(keyID)]!, 'base64').toString();
      return open(jwe, { namespace, registration: name, keyID }, keks);
    });
    expect(opened).to.have.length(2);
    return (await Promise.all(opened)).flatMap(needlesOf);
  }

  async function collect(when: string): Promise<void> {
    const { namespace } = registration;
    const json = ['--namespace', namespace, '--output', 'json', '--show-managed-fields'];
    places.set(`events ${when}`, await kubectl(plane(), ['get', 'events.events.k8s.io', ...json]));
    places.set(`objects ${when}`, await kubectl(plane(), ['get', 'ltiregistrations,ltikeys', ...json]));
    for (const [name, url] of [
      ['metrics of the controller', `${pod.controllerAdminUrl}/metrics`],
      ['metrics of the sidecar', `${pod.sidecarAdminUrl}/metrics`],
      ['document of the registration', pod.registrationUrl('canvas')],
      ['document of the namespace', pod.jwksUrl + namespacePath(namespace)],
      ['document of all keys', pod.jwksUrl + allKeysPath],
      ['answer to an unknown path', pod.registrationUrl('moodle')],
    ] as const) {
      places.set(`${name} ${when}`, await body(url));
    }
    const files = readdirSync(pod.publishDir).map((file) => readFileSync(join(pod.publishDir, file), 'utf8'));
    places.set(`publish directory ${when}`, files.join('\n'));
  }

  /** Headers too. */
  async function body(url: string): Promise<string> {
    const response = await fetch(url).catch((error: unknown) => new Response(String(error), { status: 599 }));
    return JSON.stringify([...response.headers]) + (await response.text());
  }
});
