import type { Command } from 'commander';
import { ltiKeyName } from '../../api/names.ts';
import type { LtiRegistration } from '../../api/objects.ts';
import { DevelopmentKeys } from '../../development/development-keys.ts';
import { startDevelopmentServer, tokenPath } from '../../development/development-server.ts';
import { DevelopmentSession } from '../../development/development-session.ts';
import { MountedDirectory } from '../../development/mounted-directory.ts';
import { TokenEndpoint } from '../../development/token-endpoint.ts';
import { type Duration, formatDuration, minute, parseDuration, second } from '../../domain/duration.ts';
import type { KeyState } from '../../domain/key-state.ts';
import type { Ledger } from '../../domain/ledger.ts';
import { readRegistration, type Registration } from '../../domain/registration.ts';
import { durationOption } from '../cluster.ts';
import { describedCommand } from '../command.ts';
import { CliError, exitCodes } from '../exit-codes.ts';
import { requireObjectName } from '../object-name.ts';
import { toned } from '../output.ts';
import { type RegistrationInput, registrationFrom, withRegistrationOptions } from '../registration-input.ts';
import type { Terminal } from '../terminal.ts';

interface DevOptions extends RegistrationInput {
  readonly directory: string;
  readonly namespace: string;
  readonly port: string;
  readonly activationDelay: string;
  readonly overlap: string;
  readonly rotateEvery?: string;
  readonly keep?: boolean;
}

/** The operator announces the same by default. */
const longestMaxAge: Duration = 5 * minute;

export function devCommand(terminal: Terminal): Command {
  const command = describedCommand({
    usage: 'dev [name]',
    summary: 'Deliver and rotate keys for development on this machine, without a cluster.',
    details: `It writes a delivery directory as the kubelet mounts a delivery Secret, serves its JWKS on loopback as the operator does, and moves the keys by the operator's rules. A token URL on the same port verifies client assertions as a strict platform does, and says why it refuses one. On a terminal, r rotates: the next key is published, and signs after the activation delay or when you press r again. v revokes the signing key, q quits. Without a terminal, use --rotate-every.

The keys are for development: they are on the disk in the clear, readable for you alone, and are deleted at the end. Never give them to a platform with real users.`,
    examples: [
      ['kubectl lti dev --directory /tmp/lti/canvas', 'A delivery directory for a tool on this machine'],
      [
        'kubectl lti dev canvas --directory lti --registration-json registration.json --rotate-every 30s',
        'The registration of a real delivery, with a rotation every 30 seconds',
      ],
    ],
  });
  command
    .requiredOption('--directory <path>', 'The directory to write; it must be empty, or not exist.')
    .option('-n, --namespace <namespace>', 'The namespace in the JWKS URL.', 'default')
    .option('--port <port>', 'The port of the JWKS and token URLs on loopback; 0 chooses a free one.', '8480')
    .option('--activation-delay <duration>', 'How long the next key is published before it signs.', '10s')
    .option('--overlap <duration>', 'How long a key stays published after it stopped signing.', '30s')
    .option('--rotate-every <duration>', 'Rotate this often, such as 30s.')
    .option('--keep', 'Leave the directory with its keys at the end.');
  return withRegistrationOptions(command).action((name: string | undefined, options: DevOptions) =>
    develop(name ?? 'tool', options, terminal),
  );
}

async function develop(name: string, options: DevOptions, terminal: Terminal): Promise<void> {
  const { clock, signal, err } = terminal;
  const { namespace, activationDelay, overlap } = options;
  checkOptions(name, options);
  const say = (text: string): void => terminal.out(`${clock.now().toISOString().slice(11, 19)}  ${text}\n`);
  const server = await startDevelopmentServer({
    port: portOption(options.port),
    maxAge: Math.floor(Math.min(longestMaxAge, durationOption('--activation-delay', activationDelay)) / second),
    clock,
    fetched: (path) => say(`A client fetched ${path}`),
  }).catch((error: Error) => {
    throw new CliError(`${error.message}: choose another port with --port`);
  });
  try {
    const ownTokenEndpoint = server.origin + tokenPath;
    const object = await registrationFrom(options, { namespace, name, activationDelay, overlap, ownTokenEndpoint });
    const registration = readRegistration(object);
    const directory = await MountedDirectory.claim(options.directory, clock);
    try {
      const session = new DevelopmentSession({
        registration: object,
        keys: new DevelopmentKeys(registration, clock),
        directory,
        server,
        clock,
        ...(options.rotateEvery === undefined ? {} : { rotateEvery: parseDuration(options.rotateEvery) }),
        changed: (before, after) => movesBetween(before, after, registration).forEach(say),
        blocked: (problem) => err(`No rotation: ${problem}.\n`),
      });
      server.serveTokens(tokenEndpoint(object, session, say));
      introduce(session, ownTokenEndpoint, options, terminal);
      await runUntilQuit(session, terminal);
    } finally {
      if (options.keep) err(`The keys remain in ${options.directory}: delete it when you no longer need them.\n`);
      else await directory.remove();
    }
  } finally {
    await server.close();
  }
  if (signal.aborted) throw new CliError('interrupted', exitCodes.interrupted);
}

/** Throws a CliError for the first value that cannot be used. */
function checkOptions(name: string, { namespace, activationDelay, overlap, rotateEvery }: DevOptions): void {
  durationOption('--activation-delay', activationDelay);
  durationOption('--overlap', overlap);
  if (rotateEvery !== undefined && durationOption('--rotate-every', rotateEvery) === 0) {
    throw new CliError('--rotate-every must be at least 1s', exitCodes.usage);
  }
  requireObjectName('the name', name);
  requireObjectName('--namespace', namespace);
}

function tokenEndpoint(
  { spec }: LtiRegistration,
  session: DevelopmentSession,
  said: (text: string) => void,
): TokenEndpoint {
  const { clientID = '', tokenAudience, tokenEndpoint: url = '' } = spec;
  return new TokenEndpoint({ clientID, audience: tokenAudience ?? url, published: () => session.published(), said });
}

function introduce(
  { jwksURL }: DevelopmentSession,
  tokenURL: string,
  { directory, rotateEvery }: DevOptions,
  terminal: Terminal,
): void {
  const warning = `Keys for development only: they are in ${directory} in the clear. Never give them to a platform with real users.`;
  terminal.err(`${toned(terminal, 'bad', `WARNING: ${warning}`)}\n`);
  terminal.out(`Directory:  ${directory}\nJWKS URL:   ${jwksURL}\nToken URL:  ${tokenURL}\n`);
  if (terminal.keyPresses) terminal.out('Press r to rotate, v to revoke the signing key, q to quit.\n');
  else if (rotateEvery === undefined) {
    terminal.err('Standard input is not a terminal: without --rotate-every, the key stays the same.\n');
  }
}

/** Ends when the user quits or interrupts the command, or when the directory cannot be written. */
async function runUntilQuit(session: DevelopmentSession, { keyPresses, signal, err }: Terminal): Promise<void> {
  const ended = new AbortController();
  const stop = AbortSignal.any([signal, ended.signal]);
  const obey = async (): Promise<void> => {
    if (!keyPresses) return;
    for await (const pressed of keyPresses(stop)) {
      if (pressed === 'q' || pressed === endOfInput) break;
      if (pressed === 'r') session.rotate();
      else if (pressed === 'v') session.revoke();
      else if (!stop.aborted) err('Press r to rotate, v to revoke the signing key, q to quit.\n');
    }
    ended.abort();
  };
  const running = session.run(stop).finally(() => ended.abort());
  await Promise.all([running, obey()]);
}

/** Ctrl-D. */
const endOfInput = '\u0004';

/** One line for each key whose state differs between the two ledgers, those that begin to sign first. */
function movesBetween(before: Ledger, after: Ledger, { activationDelay, overlap }: Registration): string[] {
  const moves: Readonly<Record<KeyState, string>> = {
    Next: `is published, and signs in ${formatDuration(activationDelay)}`,
    Active: 'signs',
    Retiring: `no longer signs, and stays published for ${formatDuration(overlap)}`,
    Retired: 'has left the JWKS',
    Revoked: 'is revoked, and has left the JWKS',
  };
  return after.keys
    .filter(({ keyID, state }) => before.keys.find((key) => key.keyID === keyID)?.state !== state)
    .toSorted((a, b) => Number(b.state === 'Active') - Number(a.state === 'Active'))
    .map(({ revision, keyID, state }) => `${ltiKeyName(after.registration, revision)} (${keyID}) ${moves[state]}`);
}

function portOption(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new CliError(`--port: "${text}" is not a port: give a number from 0 to 65535`, exitCodes.usage);
}
