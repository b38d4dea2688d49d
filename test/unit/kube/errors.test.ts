import { expect } from 'chai';

import { secrets } from '../../../src/api/names.ts';
import { ApiError, isAlreadyExists, isConflict, isObjectNotFound } from '../../../src/kube/errors.ts';
import { type Operation, refusal } from '../../../src/kube/responses.ts';

const configMaps = { group: '', version: 'v1', kind: 'ConfigMap', plural: 'configmaps' };
const getA: Operation = { verb: 'get', type: configMaps, namespace: 'ns', name: 'a' };
const createA: Operation = { verb: 'create', type: configMaps, namespace: 'ns', name: 'a' };

function status(fields: object): string {
  return JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', ...fields });
}

const predicates = {
  isObjectNotFound,
  isConflict,
  isAlreadyExists,
  'resource type': (error: unknown): boolean => error instanceof ApiError && error.missing === 'resource type',
};

interface Case {
  readonly title: string;
  readonly operation?: Operation;
  readonly code: number;
  readonly body: string;
  readonly is: readonly (keyof typeof predicates)[];
}

const cases: readonly Case[] = [
  {
    title: 'a 404 with the name of the object: the object is missing',
    code: 404,
    body: status({ reason: 'NotFound', details: { name: 'a', kind: 'configmaps' } }),
    is: ['isObjectNotFound'],
  },
  {
    title: 'a 404 without a name: the type is missing',
    code: 404,
    body: status({ reason: 'NotFound', details: {}, message: 'the server could not find the requested resource' }),
    is: ['resource type'],
  },
  {
    title: 'a 404 in plain text: the type is missing',
    code: 404,
    body: '404 page not found\n',
    is: ['resource type'],
  },
  {
    title: 'a 404 in HTML, from a proxy: the object is not missing',
    code: 404,
    body: '<html>a not found</html>',
    is: ['resource type'],
  },
  {
    title: 'a 404 with the name of the namespace of a create: neither is missing',
    operation: createA,
    code: 404,
    body: status({ reason: 'NotFound', details: { name: 'ns', kind: 'namespaces' } }),
    is: [],
  },
  {
    title: 'a 404 for a namespace of the same name: neither is missing',
    code: 404,
    body: status({ reason: 'NotFound', details: { name: 'a', kind: 'namespaces' } }),
    is: [],
  },
  {
    title: 'a 404 for another object: neither is missing',
    code: 404,
    body: status({ reason: 'NotFound', details: { name: 'b', kind: 'configmaps' } }),
    is: [],
  },
  {
    title: 'an incomplete 404: the object is not missing',
    code: 404,
    body: status({ reason: 'NotFound', details: { name: 'a', kind: 'configmaps' } }).slice(0, -1),
    is: ['resource type'],
  },
  {
    title: 'a 500 with the details of a 404: neither is missing',
    code: 500,
    body: status({ details: { name: 'a' } }),
    is: [],
  },
  { title: 'a 409 Conflict', code: 409, body: status({ reason: 'Conflict' }), is: ['isConflict'] },
  { title: 'a 409 AlreadyExists', code: 409, body: status({ reason: 'AlreadyExists' }), is: ['isAlreadyExists'] },
  { title: 'a 409 without a reason: neither conflict nor existing object', code: 409, body: 'no', is: [] },
];

describe('The error for a refusal of the API server', () => {
  for (const { title, operation = getA, code, body, is } of cases) {
    it(`The error distinguishes ${title}`, () => {
      const error = refusal(operation, { status: code, body });
      const holding = Object.entries(predicates).filter(([, holds]) => holds(error));
      expect(holding.map(([name]) => name)).to.deep.equal(is);
    });
  }

  it('The error message has the request, the object, and the message of the server', () => {
    const body = status({ reason: 'Conflict', message: 'the object has been modified' });
    expect(refusal(getA, { status: 409, body }).message).to.equal(
      'get configmaps ns/a: 409 Conflict: the object has been modified',
    );
  });

  it('The error message quotes only the message of a Status', () => {
    expect(refusal(getA, { status: 502, body: '<html>stack trace</html>' }).message).to.equal(
      'get configmaps ns/a: 502',
    );
    const body = JSON.stringify({ kind: 'ConfigMap', message: 'not a Status', reason: 'Nor this' });
    expect(refusal(getA, { status: 500, body }).message).to.equal('get configmaps ns/a: 500');
  });

  it('The error message quotes the refusal to read a Secret', () => {
    const forbidden = status({ reason: 'Forbidden', message: 'User "x" cannot get resource "secrets"' });
    expect(
      refusal({ verb: 'get', type: secrets, namespace: 'ns', name: 's' }, { status: 403, body: forbidden }).message,
    ).to.contain('User "x" cannot get');
  });

  it('serverMessage is the message of the Status on one line, of at most 500 characters', () => {
    const body = status({ reason: 'Invalid', message: `first\n\tsecond\u0007 ${'😀'.repeat(600)}` });
    const { serverMessage } = refusal(createA, { status: 422, body });
    expect(serverMessage)
      .to.have.length(500)
      .and.match(/^first second 😀/);
    expect(serverMessage?.isWellFormed()).to.equal(true);
    expect(refusal(createA, { status: 422, body: 'no' }).serverMessage).to.equal(undefined);
  });

  for (const [header, expected] of [
    ['5', 5000],
    ['0', 0],
    ['Fri, 01 Jan 2027 00:00:00 GMT', undefined],
    ['-1', undefined],
    ['1e9', undefined],
    [undefined, undefined],
  ] as const) {
    it(`The error reads Retry-After ${header} as ${expected} ms`, () => {
      expect(refusal(getA, { status: 429, body: '', retryAfter: header }).retryAfter).to.equal(expected);
    });
  }
});
