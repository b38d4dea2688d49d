/** Whether an Accept-Encoding lets the body be gzipped (RFC 9110 §12.5.3): by name, or by `*`, with a weight above 0. */
export function acceptsGzip(header: string | undefined): boolean {
  let others = false;
  for (const item of header?.split(',') ?? []) {
    const [coding = '', ...parameters] = item.split(';').map((part) => part.trim().toLowerCase());
    const allowed = !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter));
    if (coding === 'gzip' || coding === 'x-gzip') return allowed;
    if (coding === '*') others = allowed;
  }
  return others;
}
