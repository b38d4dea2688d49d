import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { LtiKey, LtiRegistration } from '../../../src/api/objects.ts';
import { runCli } from '../../../src/cli/program.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { aPublicJwk } from '../../builders/ledger.ts';
import { fakeTerminal } from '../../fakes/fake-terminal.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { TypedKeys } from '../../fakes/typed-keys.ts';
import { eventually } from '../../fixtures/command.ts';
import { KubectlLti } from '../../fixtures/kubectl-lti.ts';

/** The transcripts in docs/kubectl-lti.md are what the commands print. UPDATE_TRANSCRIPTS=1 writes them. */

const page = join(import.meta.dirname, '../../../docs/kubectl-lti.md');
const begin = '<!-- Written by UPDATE_TRANSCRIPTS=1 npm run test:unit. -->\n';
const end = '<!-- End of the transcripts. -->';

const now = '2027-03-01T08:00:00Z';
const keyIDs = ['7ljejHE3vU3T_Ef9DKXKcnyv9mehgx0M1LWFt7fjN7g', 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs'] as const;
const collection = (plural: string): string => `/apis/ltikeys.dev/v1alpha1/namespaces/gradebook/${plural}`;

const canvasStatus = {
  phase: 'Ready',
  observedGeneration: 1,
  ledgerSerial: 3,
  activeKey: { name: 'canvas-1', keyID: keyIDs[0], activatedAt: '2027-01-10T08:00:00Z' },
  nextRotationTime: '2027-04-06T01:40:11Z',
  jwksURL: 'https://keys.example.org/registrations/gradebook/canvas/jwks.json',
  conditions: [],
};
const moodleStatus = {
  phase: 'Stalled',
  observedGeneration: 1,
  activeKey: { name: 'moodle-1', keyID: keyIDs[1], activatedAt: '2027-02-20T08:00:00Z' },
  conditions: [
    {
      type: 'Stalled',
      status: 'True',
      reason: 'OverlapTooShort',
      message: 'spec.overlap is 10m, less than the minimum overlap of 1h',
      lastTransitionTime: '2027-02-28T08:00:00Z',
    },
  ],
};

function registration(name: string, status: object): LtiRegistration {
  const spec = { issuer: `https://${name}.example`, rotateAfter: '90d', activationDelay: '24h', overlap: '48h' };
  const metadata = { name, namespace: 'gradebook', generation: 1 };
  return { apiVersion: 'ltikeys.dev/v1alpha1', kind: 'LtiRegistration', metadata, spec, status } as LtiRegistration;
}

const canvasKey = {
  apiVersion: 'ltikeys.dev/v1alpha1',
  kind: 'LtiKey',
  metadata: { name: 'canvas-1', namespace: 'gradebook' },
  spec: {
    registrationRef: { name: 'canvas' },
    revision: 1,
    keyID: keyIDs[0],
    algorithm: 'RS256',
    size: 2048,
    publicJWK: aPublicJwk(keyIDs[0]),
  },
  status: {
    state: 'Active',
    createdAt: '2027-01-10T08:00:00Z',
    publishedAt: '2027-01-10T08:00:00Z',
    activatedAt: '2027-01-10T08:00:00Z',
  },
} as LtiKey;

describe('The transcripts in docs/kubectl-lti.md', () => {
  let kubectlLti: KubectlLti;

  before(async () => {
    kubectlLti = await KubectlLti.start();
    const { cluster } = kubectlLti;
    cluster.put(collection('ltiregistrations'), registration('canvas', canvasStatus));
    cluster.put(collection('ltiregistrations'), registration('moodle', moodleStatus));
    cluster.put(collection('ltikeys'), canvasKey);
  });

  after(() => kubectlLti.stop());

  async function transcript(line: string): Promise<string> {
    const terminal = fakeTerminal({ clock: { ...systemClock, now: () => new Date(now) } });
    const both: string[] = [];
    const streams = { ...terminal, out: (text: string) => both.push(text), err: (text: string) => both.push(text) };
    await kubectlLti.run(line, streams);
    return `\`\`\`console\n$ kubectl lti ${line}\n${both.join('').trimEnd()}\n\`\`\`\n`;
  }

  /** What the user sees who presses r, waits for ten seconds, and presses q. Key IDs, port and directory are examples. */
  async function devTranscript(): Promise<string> {
    const clock = new FakeClock(now);
    const typed = new TypedKeys();
    const directory = join(kubectlLti.folder, 'lti');
    const written: string[] = [];
    const write = (text: string): void => void written.push(text);
    const until = (text: RegExp): Promise<unknown> => eventually(String(text), () => text.test(written.join('')));
    const terminal = { ...fakeTerminal({ clock, keyPresses: typed.presses }), out: write, err: write };
    const ended = runCli(['dev', 'canvas', '--directory', directory, '--port', '0'], terminal);
    await until(/canvas-1 \S+ signs/);
    typed.type('r');
    await until(/canvas-2 \S+ is published/);
    await clock.advance(10_000);
    await until(/canvas-1 \S+ no longer signs/);
    typed.type('q');
    await ended;
    const ids = new Map<string, string>();
    const shown = written
      .join('')
      .replaceAll(directory, '/tmp/lti/canvas')
      .replaceAll(/127\.0\.0\.1:\d+/g, '127.0.0.1:8480')
      .replaceAll(/(?<=\()[\w-]{43}(?=\))/g, (keyID) => {
        ids.set(keyID, ids.get(keyID) ?? keyIDs[ids.size] ?? '');
        return ids.get(keyID)!;
      });
    return `\`\`\`console\n$ kubectl lti dev canvas --directory /tmp/lti/canvas\n${shown.trimEnd()}\n\`\`\`\n`;
  }

  it('The transcripts are what the commands print', async () => {
    const lines = [
      'status -n gradebook',
      'plan canvas -n gradebook --for 60d',
      'rotate canvas -n gradebook',
      `revoke canvas ${keyIDs[0]} -n gradebook`,
      `revoke canvas ${keyIDs[0]} -n gradebook --yes --no-wait`,
    ];
    const wanted: string[] = [];
    for (const line of lines) wanted.push(await transcript(line));
    wanted.push(await devTranscript());
    const text = readFileSync(page, 'utf8');
    const [from, to] = [text.indexOf(begin) + begin.length, text.indexOf(end)];
    const section = `\n${wanted.join('\n')}\n`;
    if (process.env['UPDATE_TRANSCRIPTS']) writeFileSync(page, text.slice(0, from) + section + text.slice(to));
    else expect(text.slice(from, to)).to.equal(section);
  });
});
