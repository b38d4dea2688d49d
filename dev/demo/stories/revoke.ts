import { createRemoteJWKSet, jwtVerify } from 'jose';
import { signAssertion } from '../tool.ts';
import type { Story } from './story.ts';

/** docs/spec/ltiregistration.md promises 60 seconds. */
const promisedSeconds = 60;

/**
 * The new key leaks soon after a rotation, while the old one is still published: the old one signs again at once, which
 * every verifier can check, and a fresh key follows with its full activation delay.
 */
export const revoke: Story = {
  title: 'a signing key leaks and is revoked',
  durations: { rotateAfter: '10m', activationDelay: '6s', overlap: '2m' },
  async run({ controlPlane, namespace, registration, jwksUrl, narrator, keys, served, tool, tally, edit, until }) {
    const first = `${registration}-1`;
    const second = `${registration}-2`;
    const third = `${registration}-3`;
    narrator.say('A rotation is asked for, by a change in Git.');
    await edit({ rotationTrigger: 'staff change' });
    await until(`key ${second} signs`, () => keys.state(second) === 'Active');
    await until(`the tool signs with ${second}`, () => tally.count(keys.keyID(second)) > 1);

    const leaked = tool.key();
    const before = tally.signed;
    const revokedAt = performance.now();
    narrator.say(`The new key leaks: its ID goes into spec.revokedKeyIDs.`);
    tally.expectRefusalOf(leaked.keyID);
    await edit({ revokedKeyIDs: [leaked.keyID] });
    await until(`key ${second} is revoked`, () => keys.state(second) === 'Revoked');
    await until(`key ${second} leaves the JWKS`, () => !served.isServed(leaked.keyID));
    await until(`the tool signs with another key`, () => tally.signed > before && tally.latestKeyID() !== leaked.keyID);
    const seconds = (performance.now() - revokedAt) / 1000;
    narrator.say(
      `It took ${seconds.toFixed(1)} s until it was out of the JWKS and the tool signed with ${first} again.`,
    );
    if (seconds > promisedSeconds) throw new Error(`The replacement took longer than ${promisedSeconds} s.`);

    narrator.say('The status says how long the platform may go on to accept the revoked key:');
    const words = 'jsonpath={.status.conditions[?(@.type=="RevocationEffective")].message}';
    await narrator.kubectl(controlPlane, [
      'get',
      'ltiregistration',
      registration,
      '--namespace',
      namespace,
      '--output',
      words,
    ]);
    const forged = await signAssertion(leaked);
    if (await isAccepted(forged, jwksUrl))
      throw new Error('A token of the revoked key was accepted after it had left.');
    narrator.say('A verifier that fetches the JWKS now refuses a token forged with the leaked key.');
    await until(`key ${third} signs`, () => keys.state(third) === 'Active');
    await until(`the tool signs with ${third}`, () => tally.count(keys.keyID(third)) > 1);
  },
};

function isAccepted(token: string, jwksUrl: string): Promise<boolean> {
  return jwtVerify(token, createRemoteJWKSet(new URL(jwksUrl))).then(
    () => true,
    () => false,
  );
}
