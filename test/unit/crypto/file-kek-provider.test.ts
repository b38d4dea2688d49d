import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { FileKekProvider } from '../../../src/crypto/file-kek-provider.ts';
import type { KekReason } from '../../../src/api/reasons.ts';
import { kekFailure } from '../../fixtures/sealing.ts';
import { KekFiles, kekText, ManualClock } from './kek-files.ts';

describe('FileKekProvider', () => {
  let files: KekFiles;
  let clock: ManualClock;
  let keks: FileKekProvider;

  beforeEach(() => {
    files = new KekFiles();
    clock = new ManualClock();
    keks = new FileKekProvider({ directory: files.path, clock });
  });
  afterEach(() => files.dispose());

  it('FileKekProvider seals with the KEK that primary names, and opens with every KEK', async () => {
    files.write({ primary: 'kek-2\n', 'kek-1': kekText(1), 'kek-2': kekText(2) });
    expect(await keks.status()).to.deep.equal({ sealingKekID: 'kek-2', problems: [] });
    expect((await keks.sealingKey()).id).to.equal('kek-2');
    expect((await keks.openingKey('kek-1')).id).to.equal('kek-1');
  });

  it('FileKekProvider returns keys that cannot be exported', async () => {
    files.write({ primary: 'kek-1', 'kek-1': kekText(1) });
    const { key } = await keks.sealingKey();
    expect(key.extractable).to.equal(false);
    expect(key.algorithm).to.deep.equal({ name: 'AES-KW', length: 256 });
    expect(key.usages).to.have.members(['wrapKey', 'unwrapKey']);
  });

  it('FileKekProvider reads a mounted Secret, whose files are links through ..data', async () => {
    files.mount({ primary: 'kek-1\n', 'kek-1': kekText(1) });
    expect(await keks.status()).to.deep.equal({ sealingKekID: 'kek-1', problems: [] });
  });

  it('FileKekProvider ignores directories and dotfiles', async () => {
    files.write({ primary: 'kek-1', 'kek-1': kekText(1), '.gitkeep': '' }).mount({});
    symlinkSync('.', join(files.path, 'lost+found'));
    expect(await keks.status()).to.deep.equal({ sealingKekID: 'kek-1', problems: [] });
  });

  describe('with bad KEK files', () => {
    const good = kekText(7);
    const bad: { when: string; content: Record<string, string | Buffer>; reason: KekReason; says: RegExp }[] = [
      {
        when: 'primary is absent',
        content: { 'kek-1': good },
        reason: 'KEKPrimaryMissing',
        says: /primary is missing: .*Secret lti-key-operator-kek.* such as kek-1, into it$/,
      },
      {
        when: 'primary is empty',
        content: { primary: '\n', 'kek-1': good },
        reason: 'KEKPrimaryMissing',
        says: /primary names no KEK/,
      },
      {
        when: 'primary names a path',
        content: { primary: '../kek-1', 'kek-1': good },
        reason: 'KEKPrimaryMissing',
        says: /primary names no KEK/,
      },
      {
        when: 'primary names itself',
        content: { primary: 'primary' },
        reason: 'KEKPrimaryMissing',
        says: /primary names no KEK/,
      },
      {
        when: 'primary names an absent file',
        content: { primary: 'kek-9' },
        reason: 'KEKMissing',
        says: /kek-9 is missing: restore the same key .*Secret lti-key-operator-kek.* Never create a new key under this name/,
      },
      {
        when: 'the key is empty',
        content: { primary: 'kek-1', 'kek-1': '' },
        reason: 'KEKMalformed',
        says: /kek-1 does not contain 256 bits .*restore the same key .*Secret lti-key-operator-kek/,
      },
      {
        when: 'the key is raw bytes',
        content: { primary: 'kek-1', 'kek-1': Buffer.alloc(32, 7) },
        reason: 'KEKMalformed',
        says: /does not contain 256 bits in base64/,
      },
      {
        when: 'the key is in hex',
        content: { primary: 'kek-1', 'kek-1': Buffer.alloc(32, 7).toString('hex') },
        reason: 'KEKMalformed',
        says: /256 bits/,
      },
      {
        when: 'the key has 128 bits',
        content: { primary: 'kek-1', 'kek-1': Buffer.alloc(16, 7).toString('base64') },
        reason: 'KEKMalformed',
        says: /256 bits/,
      },
      {
        when: 'the key has 264 bits',
        content: { primary: 'kek-1', 'kek-1': Buffer.alloc(33, 7).toString('base64') },
        reason: 'KEKMalformed',
        says: /256 bits/,
      },
      {
        when: 'the key has a stray character',
        content: { primary: 'kek-1', 'kek-1': `!${good.slice(1)}` },
        reason: 'KEKMalformed',
        says: /256 bits/,
      },
      {
        when: 'there are two keys in a file',
        content: { primary: 'kek-1', 'kek-1': good + good },
        reason: 'KEKMalformed',
        says: /256 bits/,
      },
      {
        when: 'the file is huge',
        content: { primary: 'kek-1', 'kek-1': `${good}${' '.repeat(9000)}` },
        reason: 'KEKMalformed',
        says: /256 bits/,
      },
      {
        when: 'the key is all zero',
        content: { primary: 'kek-1', 'kek-1': kekText(0) },
        reason: 'KEKMalformed',
        says: /contains only zeros/,
      },
    ];
    for (const { when, content, reason, says } of bad) {
      it(`FileKekProvider reports ${reason} if ${when}`, async () => {
        files.write(content);
        const error = await kekFailure(keks.sealingKey());
        expect(error.reason).to.equal(reason);
        expect(error.message).to.match(says).and.to.contain(files.path);
        const status = await keks.status();
        expect(status.sealingKekID).to.equal(undefined);
        expect(status.problems.map((problem) => problem.message)).to.include(error.message);
      });
    }

    it('FileKekProvider reports KEKDirectoryMissing for sealing and opening if there is no directory', async () => {
      files.dispose();
      const error = await kekFailure(keks.sealingKey());
      expect(error.reason).to.equal('KEKDirectoryMissing');
      expect(error.message).to.contain(`${files.path} cannot be listed (ENOENT)`).and.to.contain('--kek-dir');
      expect((await kekFailure(keks.openingKey('kek-1'))).reason).to.equal('KEKDirectoryMissing');
      expect((await keks.status()).problems).to.have.length(1);
    });

    it('FileKekProvider reports KEKUnreadable for a dangling link', async () => {
      files.write({ primary: 'kek-1' });
      symlinkSync('gone', join(files.path, 'kek-1'));
      const error = await kekFailure(keks.sealingKey());
      expect(error.reason).to.equal('KEKUnreadable');
      expect(error.message).to.contain('kek-1 cannot be read (ENOENT)');
    });

    it('FileKekProvider reports KEKMissing with the name of the file for a KEK to open with', async () => {
      files.write({ primary: 'kek-1', 'kek-1': good });
      const error = await kekFailure(keks.openingKey('kek-0'));
      expect(error.reason).to.equal('KEKMissing');
      expect(error.message).to.contain(join(files.path, 'kek-0'));
    });

    it('FileKekProvider uses the good KEKs and reports the bad ones', async () => {
      files.write({ primary: 'kek-1', 'kek-1': good, 'kek-0': 'oops', 'my key': good });
      expect((await keks.sealingKey()).id).to.equal('kek-1');
      const { sealingKekID, problems } = await keks.status();
      expect(sealingKekID).to.equal('kek-1');
      expect(
        problems.map(({ reason, message }) => [reason, /name that is not a valid KEK ID/.test(message)]),
      ).to.have.deep.members([
        ['KEKMalformed', false],
        ['KEKMalformed', true],
      ]);
    });

    it('FileKekProvider opens keys while the file primary is missing', async () => {
      files.write({ 'kek-1': good });
      expect((await keks.openingKey('kek-1')).id).to.equal('kek-1');
    });

    it('FileKekProvider never quotes the content of a file', async () => {
      const text = Buffer.from('0123456789abcdefghijklmnopqrstuvwxyz').toString('base64');
      files.write({ primary: `${text}${text}`, 'kek-1': text });
      const { problems } = await keks.status();
      expect(problems).to.have.length(2);
      const shown = problems.map((problem) => `${problem.stack}${JSON.stringify(problem)}`).join();
      expect(shown).to.contain('kek-1').and.not.to.contain(text.slice(0, 8));
    });
  });

  describe('when the directory changes', () => {
    it('FileKekProvider follows a replaced mount at the next check', async () => {
      files.mount({ primary: 'kek-1', 'kek-1': kekText(1) });
      expect((await keks.sealingKey()).id).to.equal('kek-1');
      files.mount({ primary: 'kek-2', 'kek-1': kekText(1), 'kek-2': kekText(2) });
      expect((await keks.sealingKey()).id).to.equal('kek-1');
      clock.advance(2_000);
      expect((await keks.sealingKey()).id).to.equal('kek-2');
    });

    it('FileKekProvider reads the directory immediately for a KEK that it does not have', async () => {
      files.mount({ primary: 'kek-1', 'kek-1': kekText(1) });
      await keks.status();
      files.mount({ primary: 'kek-1', 'kek-1': kekText(1), 'kek-2': kekText(2) });
      expect((await keks.openingKey('kek-2')).id).to.equal('kek-2');
    });

    it('FileKekProvider finds a missing KEK file immediately when it appears', async () => {
      await kekFailure(keks.sealingKey());
      files.write({ primary: 'kek-1', 'kek-1': kekText(1) });
      expect((await keks.sealingKey()).id).to.equal('kek-1');
    });

    it('FileKekProvider stops reporting a repaired KEK file immediately', async () => {
      files.write({ primary: 'kek-1', 'kek-1': 'oops' });
      expect((await keks.status()).problems).to.have.length(1);
      files.write({ 'kek-1': kekText(1) });
      expect(await keks.status()).to.deep.equal({ sealingKekID: 'kek-1', problems: [] });
    });

    it('FileKekProvider stops using a KEK whose file is removed', async () => {
      files.write({ primary: 'kek-1', 'kek-1': kekText(1) });
      await keks.sealingKey();
      files.remove('kek-1');
      clock.advance(2_000);
      expect((await kekFailure(keks.sealingKey())).reason).to.equal('KEKMissing');
    });

    it('FileKekProvider keeps the key if its file is rewritten with the same bytes', async () => {
      files.mount({ primary: 'kek-1', 'kek-1': kekText(1) });
      (await keks.sealingKey()).confirm();
      files.mount({ primary: 'kek-1', 'kek-1': kekText(1) });
      clock.advance(2_000);
      expect((await keks.sealingKey()).isConfirmed()).to.equal(true);
      expect(await keks.status()).to.deep.equal({ sealingKekID: 'kek-1', problems: [] });
    });

    it('FileKekProvider refuses other bytes under a name that has opened something, until the old bytes are restored', async () => {
      files.mount({ primary: 'kek-1', 'kek-1': kekText(1) });
      (await keks.sealingKey()).confirm();
      files.mount({ primary: 'kek-1', 'kek-1': kekText(2) });
      clock.advance(2_000);
      for (const attempt of [keks.sealingKey(), keks.openingKey('kek-1')]) {
        const error = await kekFailure(attempt);
        expect(error.reason).to.equal('KEKChanged');
        expect(error.message).to.contain(join(files.path, 'kek-1')).and.to.contain('put the old key back');
      }
      const { sealingKekID, problems } = await keks.status();
      expect(sealingKekID).to.equal(undefined);
      expect(problems.map(({ reason }) => reason)).to.deep.equal(['KEKChanged']);
      files.mount({ primary: 'kek-1', 'kek-1': kekText(1) });
      expect((await keks.sealingKey()).id).to.equal('kek-1');
    });

    it('FileKekProvider accepts other bytes under a name that has opened nothing yet', async () => {
      files.mount({ primary: 'kek-1', 'kek-1': kekText(1) });
      await keks.sealingKey();
      files.mount({ primary: 'kek-1', 'kek-1': kekText(2) });
      clock.advance(2_000);
      expect((await keks.sealingKey()).id).to.equal('kek-1');
    });
  });
});
