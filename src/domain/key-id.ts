/**
 * Key IDs of former systems: a number, a UUID, base64 with `+/=`, a URL. No blanks, and nothing that a reader cannot see:
 * two IDs that look alike would be two IDs. Unicode code points count, as for `maxLength` in the schema.
 */
const printable = /^[^\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]{1,256}$/u;

export function isKeyID(value: unknown): value is string {
  return typeof value === 'string' && printable.test(value);
}
