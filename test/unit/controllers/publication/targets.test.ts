import { expect } from 'chai';
import { endpointTargets, type EndpointSlice } from '../../../../src/controllers/publication/targets.ts';

function slice(more: Partial<EndpointSlice>): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'lti-key-operator-jwks-1' },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints: [{ addresses: ['10.0.0.1'] }],
    ...more,
  };
}

describe('The replicas behind the JWKS Service', () => {
  const cases: readonly (readonly [what: string, slices: readonly EndpointSlice[], urls: readonly string[]])[] = [
    ['are none without a slice', [], []],
    ['are asked at the port called http', [slice({})], ['http://10.0.0.1:8080']],
    [
      'are asked with TLS where a port is called https',
      [
        slice({
          ports: [
            { name: 'http', port: 8080 },
            { name: 'https', port: 8443 },
          ],
        }),
      ],
      ['https://10.0.0.1:8443'],
    ],
    ['are not asked at any other port', [slice({ ports: [{ name: 'admin', port: 8081 }] })], []],
    [
      'are asked by an IPv6 address',
      [slice({ addressType: 'IPv6', endpoints: [{ addresses: ['fd00::1'] }] })],
      ['http://[fd00::1]:8080'],
    ],
    [
      'are left out while they are not ready',
      [slice({ endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: false } }, { addresses: ['10.0.0.2'] }] })],
      ['http://10.0.0.2:8080'],
    ],
    [
      'are each asked once, whatever number of addresses and slices they have',
      [
        slice({ endpoints: [{ addresses: ['10.0.0.1'], targetRef: { uid: 'a' } }] }),
        slice({ addressType: 'IPv6', endpoints: [{ addresses: ['fd00::1'], targetRef: { uid: 'a' } }] }),
      ],
      ['http://10.0.0.1:8080'],
    ],
  ];
  for (const [what, slices, urls] of cases) {
    it(what, () => expect(endpointTargets({ list: () => slices })()).to.deep.equal(urls));
  }
});
