/** The `code` of an error of Node.js, such as `ENOENT`; `otherwise` for an error without one. */
export function errorCode(error: unknown, otherwise = 'unknown'): string {
  return error instanceof Error && 'code' in error ? String(error.code) : otherwise;
}
