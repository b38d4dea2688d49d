import { expect } from 'chai';
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DocumentDirectory, FileNameError } from '../../../src/publish/document-directory.ts';

describe('DocumentDirectory', () => {
  let folder: string;
  let directory: DocumentDirectory;
  const own = 'registration_gradebook_canvas.json';

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'documents-'));
    await mkdir(join(folder, 'publish'));
    directory = new DocumentDirectory(join(folder, 'publish'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const names = [
    'registration_evil_/../registration_bank_canvas.json',
    'registration_evil_/../sync.json',
    'registration_evil_/../../outside.json',
    'registration_evil_\0.json',
    '../outside.json',
    'sync.json',
    '.',
    '..',
    '',
    'registration_evil.json',
    `registration_evil_${'x'.repeat(240)}.json`,
    'namespace_a/b.json',
    'registration_a_b_c.json',
    'all.json/',
  ];
  for (const name of names) {
    it(`DocumentDirectory neither writes, reads nor removes ${JSON.stringify(name)}`, async () => {
      await directory.writeHeartbeat('{}');
      await directory.write('registration_bank_canvas.json', ['good']);
      await writeFile(join(folder, 'outside.json'), 'good');
      for (const work of [
        () => directory.write(name, ['bad']),
        () => directory.read(name),
        () => directory.remove(name),
      ]) {
        const failure: unknown = await work().then(
          () => undefined,
          (error: unknown) => error,
        );
        expect(failure).to.be.instanceOf(FileNameError);
      }
      expect(await readdir(join(folder, 'publish'))).to.have.members(['registration_bank_canvas.json', 'sync.json']);
      expect(await readFile(join(folder, 'outside.json'), 'utf8')).to.equal('good');
    });
  }

  it('DocumentDirectory writes, reads and removes documents', async () => {
    await directory.write(own, ['a', 'b']);
    expect(String(await directory.read(own))).to.equal('ab');
    await directory.remove(own);
    expect(await directory.read(own)).to.equal(undefined);
  });

  it('DocumentDirectory reports a file that cannot be examined, and the others, and replaces it', async () => {
    const place = (file: string): string => join(folder, 'publish', file);
    const another = 'registration_bank_moodle.json';
    await directory.write(own, ['good']);
    await directory.write(another, ['good']);
    await rm(place(own));
    await rm(place(another));
    await symlink(another, place(another));
    expect(await directory.takeAltered()).to.have.members([own, another]);
    await directory.write(another, ['good']);
    expect(String(await directory.read(another))).to.equal('good');
  });
});
