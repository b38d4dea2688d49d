import { expect } from 'chai';
import type { LtiRegistration } from '../../../../src/api/objects.ts';
import { day, hour } from '../../../../src/domain/duration.ts';
import { anLtiRegistration } from '../../../builders/registration.ts';
import { MemoryOperator } from '../../../fakes/memory-operator.ts';

type Delivery = NonNullable<LtiRegistration['spec']['delivery']>;

/** Each write of the Secret restarts a tool that is restarted by changes of Secrets. */
describe('The writes of a delivery Secret during a rotation', () => {
  async function writesOfRotation(files?: Delivery['files']): Promise<number> {
    const operator = new MemoryOperator();
    const delivery = { secretName: 'canvas-tool', ...(files ? { files } : {}) };
    operator.apply(anLtiRegistration({ delivery }));
    await operator.settle();
    let writes = 0;
    operator.objects.before = (call) => void (writes += call === 'replace secrets canvas-tool' ? 1 : 0);
    operator.apply(anLtiRegistration({ delivery, rotationTrigger: 'now' }));
    for (const wait of [0, hour, day, day + hour, day, day]) {
      await operator.clock.advance(wait);
      await operator.settle();
    }
    expect(operator.keys().map(({ status }) => status?.state)).to.deep.equal(['Retired', 'Active']);
    return writes;
  }

  it('All files are written three times: for the next key, the hand-over and the retirement', async () => {
    expect(await writesOfRotation()).to.equal(3);
  });

  it('Files without jwks.json are written once', async () => {
    expect(await writesOfRotation(['private.jwk', 'private.pem', 'public.pem', 'kid', 'registration.json'])).to.equal(
      1,
    );
    expect(await writesOfRotation(['private.jwk'])).to.equal(1);
  });
});
