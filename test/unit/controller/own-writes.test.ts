import { expect } from 'chai';
import { OwnWrites, wentBack } from '../../../src/controller/own-writes.ts';
import type { KubeObject } from '../../../src/kube/objects.ts';

const key = 'bank/canvas';

function version(resourceVersion: number, uid = 'u1'): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Thing',
    metadata: { namespace: 'bank', name: 'canvas', uid, resourceVersion: String(resourceVersion) },
  };
}

describe('Written', () => {
  let written: OwnWrites<KubeObject>;
  let changes: string[];

  beforeEach(() => {
    written = new OwnWrites();
    changes = [];
  });

  function arrives(object: KubeObject): void {
    written.unlessOwn(object, () => void changes.push(object.metadata.resourceVersion ?? ''));
  }

  it('tells the echo of an own write from a change by somebody else', async () => {
    await written.write(key, async () => version(5));
    arrives(version(5));
    arrives(version(6));
    expect(changes).to.deep.equal(['6']);
  });

  it('tells an echo that arrives before the answer of the write', async () => {
    await written.write(key, async () => {
      arrives(version(5));
      return version(5);
    });
    expect(changes).to.deep.equal([]);
  });

  it('tells a change by somebody else that arrives while a write is under way', async () => {
    await written.write(key, async () => {
      arrives(version(7));
      return version(5);
    });
    expect(changes).to.deep.equal(['7']);
  });

  it('tells of everything that arrived while a write was under way that failed', async () => {
    const failure = written.write(key, async () => {
      arrives(version(5));
      throw new Error('409');
    });
    expect(await failure.catch((error: Error) => error.message)).to.equal('409');
    expect(changes).to.deep.equal(['5']);
  });

  it('takes the earlier versions of two own writes for own ones', async () => {
    await written.write(key, async () => version(5));
    await written.write(key, async () => version(6));
    arrives(version(5));
    arrives(version(6));
    expect(changes).to.deep.equal([]);
  });

  it('takes an object of the same name with another uid for somebody else’s', async () => {
    await written.write(key, async () => version(5));
    arrives(version(4, 'u2'));
    expect(changes).to.deep.equal(['4']);
  });

  it('gives what was written until the cache has it', async () => {
    await written.write(key, async () => version(5));
    expect(written.newest(key, undefined)).to.deep.equal(version(5));
    expect(written.newest(key, version(4))).to.deep.equal(version(5));
    expect(written.newest(key, version(6))).to.deep.equal(version(6));
    expect(written.newest(key, version(4))).to.deep.equal(version(4));
  });

  it('gives nothing that the echo has confirmed', async () => {
    await written.write(key, async () => version(5));
    arrives(version(5));
    expect(written.newest(key, version(4))).to.deep.equal(version(4));
  });

  it('knows an object that went back after a restore of the API server', () => {
    expect(wentBack(version(4), version(5))).to.equal(true);
    expect(wentBack(version(4, 'u2'), version(5))).to.equal(false);
    expect(wentBack(version(6), version(5))).to.equal(false);
    expect(wentBack(version(6), undefined)).to.equal(false);
  });
});
