import type { Story } from './story.ts';

export const rotation: Story = {
  title: 'one rotation of a signing key by its schedule',
  durations: { rotateAfter: '30s', activationDelay: '6s', overlap: '8s' },
  async run({ registration, narrator, keys, served, until }) {
    const first = `${registration}-1`;
    const second = `${registration}-2`;
    narrator.say('No action is required now: the rotation starts by itself.');
    await until(`key ${second} is made`, () => keys.state(second) !== undefined);
    await until(`key ${second} signs`, () => keys.state(second) === 'Active');
    await until(`key ${first} is retired`, () => keys.state(first) === 'Retired');
    await until(`key ${first} leaves the JWKS`, () => !served.isServed(keys.keyID(first)));
  },
};
