/** The `code` of an error of Node.js, such as `ENOENT`; `unknown` for an error without one. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}
