import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { DocumentDirectory } from '../../../src/publish/document-directory.ts';
import { DocumentWriter } from '../../../src/publish/document-writer.ts';
import { WarnOnce } from '../../../src/publish/warn-once.ts';
import { key, kids } from '../../builders/documents.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { recordingLog } from '../../fakes/recording-log.ts';

describe('DocumentWriter', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'document-writer-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('DocumentWriter delays aggregates by at most ten seconds, although the process stood still for minutes while it wrote them', async () => {
    const clock = new FakeClock();
    class SlowDirectory extends DocumentDirectory {
      override async write(file: string, content: readonly string[]): Promise<void> {
        await super.write(file, content);
        await clock.advance(120_000);
      }
    }
    const writer = new DocumentWriter(true, new SlowDirectory(folder), clock, new WarnOnce(recordingLog().log));
    const canvas = { namespace: 'gradebook', registration: 'canvas' };
    writer.setKeys(canvas, [key('gradebook', 'canvas', 1)]);
    expect(await writer.write(true)).to.deep.equal([]);
    writer.setKeys(canvas, [key('gradebook', 'canvas', 2)]);
    expect(writer.dueAt() - clock.monotonic()).to.be.within(1, 10_000);
    await clock.advance(10_000);
    expect(await writer.write(false)).to.deep.equal([]);
    expect(kids(JSON.parse(await readFile(join(folder, 'all.json'), 'utf8')))).to.deep.equal(['gradebook-canvas-2']);
  });
});
