import { expect } from 'chai';
import { leafCommands } from '../../../src/cli/leaf-commands.ts';
import { createProgram, runCli } from '../../../src/cli/program.ts';
import { fakeTerminal } from '../../fakes/fake-terminal.ts';

describe('kubectl lti', () => {
  it('kubectl lti prints its subcommands and exits with 0 if it is run without arguments', async () => {
    const terminal = fakeTerminal();
    expect(await runCli([], terminal)).to.equal(0);
    expect(terminal.output()).to.include('Usage: kubectl lti').and.include('rotate [options] <name>');
  });

  it('kubectl lti exits with 2 for an unknown subcommand, and says so on standard error alone', async () => {
    const terminal = fakeTerminal();
    expect(await runCli(['statsu'], terminal)).to.equal(2);
    expect(terminal.errors()).to.include("unknown command 'statsu'").and.include('Did you mean status?');
    expect(terminal.output()).to.equal('');
  });

  it('kubectl lti exits with 2 if an argument is missing, before it looks for a cluster', async () => {
    const terminal = fakeTerminal({ environment: { KUBECONFIG: '/does/not/exist' } });
    expect(await runCli(['rotate'], terminal)).to.equal(2);
    expect(terminal.errors()).to.include("missing required argument 'name'");
  });

  it('kubectl lti takes a key ID that begins with a hyphen for a key ID, wherever it is', async () => {
    const keyID = '-fEbEiT_po-ag8VDxNCCZRIo29dGWECBFWLbNe7JbfQ';
    const withNamespace = `-n${'o'.repeat(41)}`;
    for (const args of [
      ['revoke', 'canvas', keyID],
      ['revoke', 'canvas', keyID, '--yes', withNamespace],
      ['revoke', keyID, '--', 'canvas'],
      ['revoke', '--timeout', '1m', 'canvas', '--', keyID],
      ['acknowledge', 'canvas', keyID, '--revocation'],
    ]) {
      const terminal = fakeTerminal({ environment: { KUBECONFIG: '/does/not/exist' } });
      expect(await runCli(args, terminal), args.join(' ')).to.equal(1);
      expect(terminal.errors()).to.match(/^error: Cannot read the kubeconfig/);
    }
    expect(await runCli(['revoke', keyID], fakeTerminal())).to.equal(2);
  });

  it('kubectl lti exits with 1 and names the kubeconfig file that it cannot read', async () => {
    const terminal = fakeTerminal({ environment: { KUBECONFIG: '/does/not/exist' } });
    expect(await runCli(['status'], terminal)).to.equal(1);
    expect(terminal.errors()).to.equal(
      "error: Cannot read the kubeconfig /does/not/exist: ENOENT: no such file or directory, open '/does/not/exist'\n",
    );
  });

  it('kubectl lti has an example in the help of every subcommand, and each example is a command of kubectl', async () => {
    for (const { name } of leafCommands(createProgram(fakeTerminal()))) {
      const terminal = fakeTerminal();
      expect(await runCli([...name.split(' '), '--help'], terminal), name).to.equal(0);
      const [, examples = ''] = terminal.output().split('\nExamples:\n');
      const lines = examples.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('  #'));
      expect(lines, name).not.to.deep.equal([]);
      for (const line of lines) expect(line).to.match(/^ {2}(.* \| )?kubectl (lti|get) /);
    }
  });
});
