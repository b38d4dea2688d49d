import { ledgerSecretName, ltiKeys, secrets } from '../../../src/api/names.ts';
import type { LtiKey, LtiRegistration } from '../../../src/api/objects.ts';
import { KekError } from '../../../src/crypto/errors.ts';
import { minute, second } from '../../../src/domain/duration.ts';
import { isShownPublished } from '../../../src/domain/ltikeys.ts';
import { ApiError, TransportError } from '../../../src/kube/errors.ts';
import type { Secret } from '../../../src/kube/objects.ts';
import { anLtiRegistration } from '../../builders/registration.ts';
import { MemoryOperator } from '../../fakes/memory-operator.ts';

type Spec = Partial<LtiRegistration['spec']>;

/** What may be in the way of a revocation: it happens in the same moment, and lasts. */
interface Obstacle {
  readonly name: string;
  /** The requests that fail, such as `replace secrets canvas-lti-keys`. */
  readonly calls?: RegExp;
  readonly error?: ApiError | TransportError;
  readonly edit?: Spec;
  readonly isDeletion?: true;
  act?(operator: MemoryOperator): void;
}

function refusal(status: number, reason: string): ApiError {
  return new ApiError(`${status} ${reason}`, { status, reason });
}

const forbidden = refusal(403, 'Forbidden');
const unavailable = refusal(503, 'ServiceUnavailable');
const silence = new TransportError('Timeout', 'no answer');
const delivery = { secretName: 'tool' };

const obstacles: readonly Obstacle[] = [
  { name: 'the ledger is immutable', calls: /^replace secrets canvas-lti-keys/, error: refusal(422, 'Invalid') },
  { name: 'writes of the ledger get 503', calls: /^replace secrets canvas-lti-keys/, error: unavailable },
  {
    name: 'each request for the ledger breaks off',
    calls: /secrets canvas-lti-keys/,
    error: new TransportError('Connection', 'reset'),
  },
  { name: 'the ledger is unreadable', calls: /^get secrets canvas-lti-keys/, error: forbidden },
  {
    name: 'the ledger is gone',
    act: ({ objects }) => objects.remove(secrets, 'gradebook', ledgerSecretName('canvas')),
  },
  { name: 'states of LtiKeys get 503', calls: /^replaceStatus ltikeys/, error: unavailable },
  { name: 'LtiKeys cannot be deleted', calls: /^delete ltikeys/, error: forbidden },
  {
    name: 'the LtiKey lost its state',
    act: ({ objects }) => {
      for (const { status: _, ...key } of objects.all<LtiKey>(ltiKeys)) objects.put<LtiKey>(ltiKeys, key);
    },
  },
  { name: 'the delivery Secret cannot be written', calls: /^(create|replace) secrets tool/, error: forbidden },
  { name: 'the delivery Secret cannot be deleted', calls: /^delete secrets tool/, error: silence },
  { name: 'the delivery Secret is unreadable', calls: /^get secrets tool/, error: silence },
  { name: 'the status is refused', calls: /^replaceStatus ltiregistrations/, error: forbidden },
  {
    name: 'the KEK is gone',
    act: ({ keks }) => void (keks.problem = new KekError('KEKMissing', 'no KEK')),
  },
  { name: 'the delivery Secret is renamed', edit: { delivery: { secretName: 'tool-b' } } },
  { name: 'the spec is unusable', edit: { rotateAfter: 'often' } },
  { name: 'the registration is deleted', isDeletion: true, edit: { deletionPolicy: 'Retain' } },
  { name: 'the registration and its keys are deleted', isDeletion: true, edit: { deletionPolicy: 'Delete' } },
  { name: 'the registration cannot be read', calls: /^get ltiregistrations/, error: unavailable },
];

class Revocation {
  readonly operator = new MemoryOperator();
  readonly #pair: readonly Obstacle[];
  #keyID = '';

  constructor(pair: readonly Obstacle[]) {
    this.#pair = pair;
  }

  /** Meets the obstacles for a minute. */
  async run(): Promise<void> {
    const { operator } = this;
    operator.apply(anLtiRegistration({ delivery }));
    await operator.settle();
    this.#keyID = operator.keys()[0]!.spec.keyID;
    operator.announced.length = 0;
    operator.objects.before = (call) => {
      const error = this.#errorOf(call);
      if (error) throw error;
    };
    for (const obstacle of this.#pair) obstacle.act?.(operator);
    const edits: Spec = Object.assign({}, ...this.#pair.map(({ edit }) => edit));
    operator.apply(anLtiRegistration({ delivery, ...edits, revokedKeyIDs: [this.#keyID] }));
    // As the events of these objects would.
    operator.sources.ledgers.delete('gradebook/canvas');
    if (this.#pair.some(({ isDeletion }) => isDeletion)) operator.deleteRegistration();
    for (let passed = 0; passed < minute; passed += 4 * second) {
      await operator.reconcile().catch((error: unknown) => {
        if (!(error instanceof ApiError || error instanceof TransportError)) throw error;
      });
      await operator.keyPair();
      await operator.clock.advance(4 * second);
    }
  }

  /** What is wrong after that minute. */
  problems(): readonly string[] {
    const { operator } = this;
    const published = operator.keys().filter((key) => isShownPublished(key) && key.spec.keyID === this.#keyID);
    const holding = operator.objects.all<Secret>(secrets).filter(({ data }) => this.#isHeld(data));
    const said = this.#said();
    return [
      ...published.flatMap(({ metadata: { name } }) => [
        ...(this.#fails(`replaceStatus ltikeys ${name}`, `delete ltikeys ${name}`) ? [] : [`${name} is published`]),
        ...(said.includes('RevokedKeyStillServed') || said.includes('WriteRefused') ? [] : ['it is served in silence']),
        ...(said.includes('SigningKeyReady') ? ['it is Ready while the key is served'] : []),
      ]),
      ...holding.flatMap(({ metadata: { name } }) => [
        ...(this.#fails(`get secrets ${name}`) || this.#fails(`replace secrets ${name}`, `delete secrets ${name}`)
          ? []
          : [`${name} holds it`]),
        ...(said.includes(`gradebook/${name}`) || said.includes('WriteRefused') ? [] : ['it is held in silence']),
      ]),
      ...(this.#fails('replaceStatus ltiregistrations canvas') && this.#exists() && !said.includes('WriteRefused')
        ? ['no event reports the refused status']
        : []),
    ];
  }

  /** The status or, if it is refused, events; of a deleted registration the conditions of its LtiKeys or, if refused, the metric. */
  #said(): string {
    const { announced, refusedResources } = this.operator;
    if (this.#exists()) {
      const isRefused = this.#fails('replaceStatus ltiregistrations canvas');
      return isRefused ? announced.join() : JSON.stringify(this.operator.registration()?.status);
    }
    const isCounted = refusedResources.includes('ltikeys/status');
    return isCounted ? 'WriteRefused' : JSON.stringify(this.operator.keys().map(({ status }) => status));
  }

  #exists(): boolean {
    return this.operator.registration() !== undefined;
  }

  #isHeld(data: Secret['data']): boolean {
    return data?.['private.pem'] !== undefined && Buffer.from(data['kid'] ?? '', 'base64').toString() === this.#keyID;
  }

  #fails(...calls: readonly string[]): boolean {
    return calls.every((call) => this.#errorOf(call) !== undefined);
  }

  #errorOf(call: string): Error | undefined {
    return this.#pair.find(({ calls }) => calls?.test(call))?.error;
  }
}

describe('A revocation', () => {
  for (const [index, first] of obstacles.entries()) {
    it(`A revocation takes effect or is reported although ${first.name}, alone and with any other obstacle`, async () => {
      for (const pair of obstacles.slice(index).map((other) => [first, other])) {
        const revocation = new Revocation(pair);
        await revocation.run();
        const problems = revocation.problems();
        if (problems.length > 0)
          throw new Error(`${pair.map(({ name }) => name).join(', and ')}: ${problems.join('; ')}`);
      }
    });
  }
});
