import { expect } from 'chai';
import { ConfigError, parseConfig } from '../../src/config.ts';

describe('The source of key-encryption keys', () => {
  const parse = (...args: string[]) => parseConfig('controller', ['--publish-dir=/publish', ...args]);

  it('is a directory or the socket of a KMS plugin', () => {
    expect(parse('--kek-dir=/kek')).to.include({ kekDir: '/kek' }).and.not.have.property('kmsSocket');
    expect(parse('--kms-socket=/kms.sock')).to.include({ kmsSocket: '/kms.sock' }).and.not.have.property('kekDir');
  });

  it('has to be given, and only once', () => {
    const problem =
      'Exactly one of --kek-dir and --kms-socket is required: it says where key-encryption keys come from.';
    expect(() => parse()).to.throw(ConfigError, problem);
    expect(() => parse('--kek-dir=/kek', '--kms-socket=/kms.sock')).to.throw(ConfigError, problem);
  });

  it('is nothing that a publisher needs', () => {
    expect(parseConfig('publisher', ['--publish-dir=/publish'])).to.not.have.any.keys('kekDir', 'kmsSocket');
  });
});
