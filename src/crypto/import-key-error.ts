/** Why the operator does not take over a key of a former system. The message never quotes the key. */
export class ImportKeyError extends Error {
  override readonly name = 'ImportKeyError';
}
