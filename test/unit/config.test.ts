import { expect } from 'chai';
import { ConfigError, helpText, parseConfig } from '../../src/config.ts';
import { minute, second } from '../../src/domain/duration.ts';
import { commands, optionTable } from '../../src/option-table.ts';

const controller = (...args: string[]) =>
  parseConfig('controller', ['--publish-dir=/publish', '--kek-dir=/kek', ...args]);

describe('parseConfig', () => {
  it('parseConfig refuses a --resync of less than 10s, which would keep the operator reading Secrets without a pause', () => {
    for (const [text, says] of [
      ['0s', '--resync: "0s" is less than the minimum, 10s.'],
      ['9s', '--resync: "9s" is less than the minimum, 10s.'],
    ] as const) {
      expect(() => controller(`--resync=${text}`)).to.throw(ConfigError, says);
    }
    expect(controller('--resync=10s').resync).to.equal(10 * second);
    expect(controller().resync).to.equal(30 * minute);
  });

  it('parseConfig takes whole numbers from 1 for --kube-api-qps and --kube-api-burst', () => {
    expect(controller()).to.include({ kubeApiQps: 2000, kubeApiBurst: 4000 });
    expect(controller('--kube-api-qps=50', '--kube-api-burst=100')).to.include({ kubeApiQps: 50, kubeApiBurst: 100 });
    for (const text of ['0', '-1', '1.5', '1e3', 'many', '1000000']) {
      expect(() => controller(`--kube-api-qps=${text}`), text).to.throw(ConfigError, /^--kube-api-qps: /);
    }
  });

  it('parseConfig prefers --kubeconfig to KUBECONFIG, which may list several files', () => {
    const environment = { KUBECONFIG: '/a::/b:' };
    const args = ['--publish-dir=/publish', '--kek-dir=/kek'];
    expect(parseConfig('controller', args, environment).kubeconfig).to.deep.equal(['/a', '/b']);
    expect(parseConfig('publisher', ['--publish-dir=/publish'], environment).kubeconfig).to.deep.equal(['/a', '/b']);
    expect(parseConfig('controller', [...args, '--kubeconfig=/c:d'], environment).kubeconfig).to.deep.equal(['/c:d']);
    expect(parseConfig('controller', args, { KUBECONFIG: '' }).kubeconfig).to.deep.equal([]);
    expect(parseConfig('jwks', ['--publish-dir=/publish'], environment)).not.to.have.property('kubeconfig');
  });

  it('parseConfig takes 0s for --minimum-overlap', () => {
    expect(controller('--minimum-overlap=0s').minimumOverlap).to.equal(0);
  });

  it('parseConfig drops repeated values of --namespace and --jwks-probe-url, and keeps the order of the command line', () => {
    const { namespaces, jwksProbeUrls } = controller(
      ...['b', 'a', 'b'].map((name) => `--namespace=${name}`),
      ...['http://one', 'http://two/', 'http://one/', 'http://two'].map((url) => `--jwks-probe-url=${url}`),
    );
    expect(namespaces).to.deep.equal(['b', 'a']);
    expect(jwksProbeUrls).to.deep.equal(['http://one', 'http://two']);
    expect(parseConfig('publisher', ['--publish-dir=/p', '--namespace=a', '--namespace=a']).namespaces).to.deep.equal([
      'a',
    ]);
  });

  it('parseConfig refuses a --jwks-public-url of more than 1024 characters, so that status.jwksURL has room for the path', () => {
    const longest = `https://keys.example.org/${'x'.repeat(999)}`;
    expect(controller(`--jwks-public-url=${longest}`).jwksPublicUrl)
      .to.equal(longest)
      .and.have.length(1024);
    expect(() => controller(`--jwks-public-url=${longest}x`)).to.throw(
      ConfigError,
      /^--jwks-public-url: the URL is longer than 1024 characters: shorten it\.$/,
    );
  });

  it('parseConfig collects fetches from port 8081 of the Service, and from probe URLs only if the port is given', () => {
    expect(controller().jwksAdminPort).to.equal(8081);
    expect(controller('--jwks-probe-url=http://one').jwksAdminPort).to.equal(undefined);
    expect(controller('--jwks-probe-url=http://one', '--jwks-admin-port=9090').jwksAdminPort).to.equal(9090);
  });

  it('parseConfig takes a port from 1 to 65535', () => {
    expect(controller('--jwks-admin-port=65535').jwksAdminPort).to.equal(65_535);
    for (const port of ['0', '65536', '08081', 'http']) {
      const message = `--jwks-admin-port: "${port}" is not a port from 1 to 65535.`;
      expect(() => controller(`--jwks-admin-port=${port}`)).to.throw(ConfigError, message);
    }
  });
});

describe('helpText', () => {
  for (const command of commands) {
    it(`helpText lists every option of ${command} with its help and a placeholder for its value`, () => {
      const words = ['path', 'name', 'host:port', 'url', 'duration', 'seconds', 'level', 'format', 'number', 'port'];
      const [usage, ...lines] = helpText(command).trimEnd().split('\n');
      expect(usage).to.equal(`Usage: lti-key-operator ${command} [options]`);
      const rows = optionTable.filter((row) => row.commands.includes(command));
      for (const [position, { name, type, help }] of rows.entries()) {
        const [option, sentence] = lines.slice(1 + 2 * position, 3 + 2 * position);
        const [, found, value] =
          /^ {2}--(\S+)(?: <([^>]+)>)?(?: \(default \S+\)| \(required\))?$/.exec(option ?? '') ?? [];
        expect(found).to.equal(name);
        expect(value, name).to.satisfy((word?: string) => (type === 'flag' ? !word : words.includes(word ?? '')));
        expect(sentence).to.equal(`      ${help}`);
      }
      expect(lines).to.have.length(1 + 2 * rows.length);
    });
  }
});
