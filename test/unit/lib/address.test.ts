import { expect } from 'chai';
import { parseAddress } from '../../../src/lib/address.ts';

describe('parseAddress', () => {
  for (const [address, expected] of [
    [':8081', { port: 8081 }],
    ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
    ['localhost:65535', { host: 'localhost', port: 65535 }],
    ['[::1]:80', { host: '::1', port: 80 }],
  ] as const) {
    it(`parseAddress reads the address ${address}`, () => expect(parseAddress(address)).to.deep.equal(expected));
  }

  for (const address of ['', '8081', ':', 'host:', ':65536', ':-1', '::1:80', 'http://host:80', 'a b:80', '[]:80']) {
    it(`parseAddress refuses the address ${JSON.stringify(address)}`, () =>
      expect(() => parseAddress(address)).to.throw(
        `"${address}" is not an address to listen on: write host:port or :port, for example :8081`,
      ));
  }
});
