import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { ConfigError, parseConfig } from '../../src/config.ts';

describe('The source of key-encryption keys', () => {
  const parse = (...args: string[]) => parseConfig('controller', ['--publish-dir=/publish', ...args]);

  it('The source of KEKs is a directory or the socket of a KMS plugin', () => {
    expect(parse('--kek-dir=/kek')).to.include({ kekDir: '/kek' }).and.not.have.property('kmsSocket');
    expect(parse('--kms-socket=/kms.sock')).to.include({ kmsSocket: '/kms.sock' }).and.not.have.property('kekDir');
  });

  it('--kms-socket accepts the notation of kube-apiserver', () => {
    expect(parse('--kms-socket=unix:///run/kms.sock')).to.include({ kmsSocket: '/run/kms.sock' });
    expect(parse('--kms-socket=unix:/run/kms.sock')).to.include({ kmsSocket: '/run/kms.sock' });
    for (const text of [
      'unix://kms.sock',
      'unix://',
      'unix:///',
      'unix:////run/kms.sock',
      'tcp://localhost:1',
      'http:///kms',
    ]) {
      expect(() => parse(`--kms-socket=${text}`)).to.throw(
        ConfigError,
        `--kms-socket: "${text}" is not a Unix socket: write a path or unix:///path.`,
      );
    }
  });

  it('The source of KEKs is required, and may be both during a migration', () => {
    const problem = '--kek-dir or --kms-socket is required: the controller needs a source of key-encryption keys.';
    expect(() => parse()).to.throw(ConfigError, problem);
    const both = parse('--kek-dir=/kek', '--kms-socket=/kms.sock');
    expect(both).to.include({ kekDir: '/kek', kmsSocket: '/kms.sock' });
  });

  it('A publisher needs no source of KEKs', () => {
    expect(parseConfig('publisher', ['--publish-dir=/publish'])).to.not.have.any.keys('kekDir', 'kmsSocket');
  });

  it('The controller loads gRPC only for a KMS', async () => {
    const src = join(import.meta.dirname, '../../src');
    const loaded = async (file: string): Promise<boolean> => {
      const script = `await import(${JSON.stringify(join(src, file))});
        const { cache } = (await import('node:module')).createRequire('/');
        console.log(Object.keys(cache).some((path) => path.includes('@grpc')));`;
      const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]);
      return stdout.trim() === 'true';
    };
    expect(await loaded('controller/run.ts')).to.equal(false);
    expect(await loaded('crypto/kms/grpc-kms.ts'), 'this would be seen').to.equal(true);
  });
});
