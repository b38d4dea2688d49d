/**
 * Key IDs of former systems may be a number, a UUID, base64 with `+/=` or a URL. The schema of LtiKeys has the same rule, so that
 * an LtiKey can show every key ID in a ledger. No spaces or invisible characters, so that IDs that look the same are the same.
 */
const printable = /^[!-~]{1,256}$/;

export function isKeyID(value: unknown): value is string {
  return typeof value === 'string' && printable.test(value);
}
