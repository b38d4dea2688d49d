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

describe('OwnWrites', () => {
  let written: OwnWrites<KubeObject>;
  let changes: string[];

  beforeEach(() => {
    written = new OwnWrites();
    changes = [];
  });

  function arrives(object: KubeObject): void {
    written.unlessOwn(object, () => void changes.push(object.metadata.resourceVersion ?? ''));
  }

  it('OwnWrites ignores the echo of an own write and reports a change by another client', async () => {
    await written.write(key, async () => version(5));
    arrives(version(5));
    arrives(version(6));
    expect(changes).to.deep.equal(['6']);
  });

  it('OwnWrites ignores an echo that arrives before the response to the write', async () => {
    await written.write(key, async () => {
      arrives(version(5));
      return version(5);
    });
    expect(changes).to.deep.equal([]);
  });

  it('OwnWrites reports a change by another client that arrives while a write is in flight', async () => {
    await written.write(key, async () => {
      arrives(version(7));
      return version(5);
    });
    expect(changes).to.deep.equal(['7']);
  });

  it('OwnWrites reports every event that arrived during a write that failed', async () => {
    const failure = written.write(key, async () => {
      arrives(version(5));
      throw new Error('409');
    });
    expect(await failure.catch((error: Error) => error.message)).to.equal('409');
    expect(changes).to.deep.equal(['5']);
  });

  it('OwnWrites ignores the echoes of two own writes', async () => {
    await written.write(key, async () => version(5));
    await written.write(key, async () => version(6));
    arrives(version(5));
    arrives(version(6));
    expect(changes).to.deep.equal([]);
  });

  it('OwnWrites reports an object of the same name with another uid', async () => {
    await written.write(key, async () => version(5));
    arrives(version(4, 'u2'));
    expect(changes).to.deep.equal(['4']);
  });

  it('OwnWrites returns the written object until the cache has it', async () => {
    await written.write(key, async () => version(5));
    expect(written.newest(key, undefined)).to.deep.equal(version(5));
    expect(written.newest(key, version(4))).to.deep.equal(version(5));
    expect(written.newest(key, version(6))).to.deep.equal(version(6));
    expect(written.newest(key, version(4))).to.deep.equal(version(4));
  });

  it('OwnWrites returns the cached object once the echo has arrived', async () => {
    await written.write(key, async () => version(5));
    arrives(version(5));
    expect(written.newest(key, version(4))).to.deep.equal(version(4));
  });

  it('wentBack recognizes an earlier version of the same object, as after a restore of etcd', () => {
    expect(wentBack(version(4), version(5))).to.equal(true);
    expect(wentBack(version(4, 'u2'), version(5))).to.equal(false);
    expect(wentBack(version(6), version(5))).to.equal(false);
    expect(wentBack(version(6), undefined)).to.equal(false);
  });
});
