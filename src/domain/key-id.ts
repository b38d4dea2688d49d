/**
 * Key IDs of former systems: a number, a UUID, base64 with `+/=`, a URL. The schema of LtiKeys has the same rule, so that
 * no ledger holds a key ID that no LtiKey can show. No blanks and nothing invisible: two IDs that look alike would be two.
 */
const printable = /^[!-~]{1,256}$/;

export function isKeyID(value: unknown): value is string {
  return typeof value === 'string' && printable.test(value);
}
