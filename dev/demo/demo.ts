import { join } from 'node:path';
import { ltiKeys } from '../../src/api/names.ts';
import type { LtiKey } from '../../src/api/objects.ts';
import { parseDuration } from '../../src/domain/duration.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { createInformer } from '../../src/kube/informer.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createLogger } from '../../src/observability/log.ts';
import { KeyChanges } from './key-changes.ts';
import { KeyHistory } from './key-history.ts';
import { Registrations } from './registrations.ts';
import type { Evidence } from './report.ts';
import { applySamples, readSamples } from './samples.ts';
import { ServedKeys } from './served-keys.ts';
import type { Scene, Stage, Story } from './stories/story.ts';
import { Tally } from './tally.ts';
import { checkTokens } from './token-check.ts';
import { Tool } from './tool.ts';
import { verifiers } from './verifiers.ts';
import { until } from './waiting.ts';

/** The registration that is followed closely, one of deploy/samples. */
const followed = { namespace: 'gradebook', name: 'canvas', secretName: 'canvas-signing-key' };

/** Applies the samples, lets the story happen while tokens are signed and verified, and returns what was seen. */
export async function perform(story: Story, stage: Stage): Promise<Evidence> {
  const { controlPlane, narrator, signal } = stage;
  const clock = systemClock;
  const client = KubeClient.load({ kubeconfig: controlPlane.kubeconfig, clock });
  const shared = { client, clock, log: createLogger({ level: 'error', format: 'text' }) };
  const { namespace, name: registration, secretName } = followed;
  const registrations = new Registrations(namespace, shared);
  const ltiKeysSeen = createInformer<LtiKey>({ ...shared, namespaces: [namespace], type: ltiKeys });
  const keys = new KeyHistory();
  const changes = new KeyChanges({ controlPlane, narrator, namespace, registration });
  ltiKeysSeen.onChange(({ type, object }) => {
    if (type === 'deleted' || object.spec.registrationRef.name !== registration) return;
    if (keys.note(object, narrator.elapsed())) changes.add(object.metadata.name, keys.state(object.metadata.name)!);
  });

  const ended = new AbortController();
  const stop = AbortSignal.any([signal, ended.signal]);
  const background = [ltiKeysSeen.run(stop), registrations.run(stop)];
  const wait = (what: string, condition: () => boolean | Promise<boolean>): Promise<void> =>
    until(what, condition, () => registrations.explanation(registration));
  let tool: Tool | undefined;
  try {
    const samples = readSamples(story.durations);
    const { rotateAfter, activationDelay, overlap } = story.durations;
    narrator.say('Applying deploy/samples, one registration per platform, with short durations:');
    narrator.say(`  rotateAfter ${rotateAfter}, activationDelay ${activationDelay}, overlap ${overlap}.`);
    await applySamples(controlPlane, samples);
    await wait(`${registration} has a JWKS URL`, () => registrations.jwksUrl(registration) !== undefined);
    const jwksUrl = registrations.jwksUrl(registration)!;
    const served = new ServedKeys(jwksUrl, () => narrator.elapsed());
    background.push(served.follow(clock, stop));
    await wait(`every registration is Ready`, () => samples.names.every((name) => registrations.isReady(name)));
    narrator.say('All of them are Ready: each has a key that is published and signs.');
    await narrator.kubectl(controlPlane, ['get', 'lti', '--namespace', namespace]);

    tool = await Tool.start({ client, clock, namespace, secretName, folder: join(controlPlane.folder, 'tool') });
    const platforms = verifiers(jwksUrl, parseDuration(activationDelay));
    const tally = new Tally();
    narrator.say(`From now on a tool signs a client assertion every second with the key in Secret ${secretName}.`);
    narrator.say(`Two verifiers check each with ${jwksUrl}`);
    for (const { name, habit } of platforms) narrator.say(`  ${name.padEnd(8)}  ${habit}`);
    const checking = checkTokens({ tool, verifiers: platforms, tally, narrator, clock }, stop);
    background.push(checking);
    changes.begin();
    const scene: Scene = {
      ...stage,
      namespace,
      registration,
      jwksUrl,
      keys,
      served,
      tool,
      tally,
      edit: (spec) => {
        const patch = JSON.stringify({ spec });
        const args = ['patch', 'ltiregistration', registration, '--namespace', namespace, '--type=merge'];
        return narrator.kubectl(controlPlane, [...args, '--patch', patch]);
      },
      async until(what, condition) {
        await wait(what, condition);
        await changes.settle();
      },
    };
    // The checking ends before the story does only when it fails.
    await Promise.race([story.run(scene), checking]);
    signal.throwIfAborted();
    await narrator.kubectl(controlPlane, ['get', 'lti', '--namespace', namespace]);
    return { keys, served, tally };
  } finally {
    ended.abort();
    await Promise.allSettled(background);
    tool?.close();
    await client.close();
  }
}
