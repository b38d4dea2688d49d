import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, '../../docs/tools');

/** The code blocks of a page below a heading, up to the next heading. */
export function codeOf(page: string, heading: string): readonly string[] {
  const text = readFileSync(join(folder, page), 'utf8');
  const [, section] = text.split(new RegExp(`^#+ ${heading}$`, 'm'));
  const [own = ''] = section?.split(/^#+ /m) ?? [];
  return [...own.matchAll(/^```\w+\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code);
}

/** The headings of a page that have code below them. */
export function headingsWithCode(page: string): readonly string[] {
  const text = readFileSync(join(folder, page), 'utf8');
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
  return headings.filter((heading) => codeOf(page, heading).length > 0);
}
