import { styleText } from 'node:util';
import Table from 'cli-table3';
import { stringify } from 'yaml';
import type { Terminal } from './terminal.ts';

export const outputFormats = ['table', 'json', 'yaml', 'name'] as const;
export type OutputFormat = (typeof outputFormats)[number];

const bare = { top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '' };
const borderless = {
  ...bare,
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '   ',
};

/** A table as kubectl prints it: upper-case headings, columns three blanks apart, no borders. */
export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const style = { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true };
  const table = new Table({ head: [...headings], chars: borderless, style });
  table.push(...rows.map((row) => [...row]));
  return `${table.toString().replaceAll(/[ \t]+$/gm, '')}\n`;
}

/** A value for programs. JSON has two blanks of indentation, as kubectl prints it. */
export function formatValue(format: 'json' | 'yaml', value: unknown): string {
  return format === 'json' ? `${JSON.stringify(value, undefined, 2)}\n` : stringify(value);
}

/** A number of things, such as `1 key` and `2 keys`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

export type Tone = 'good' | 'warning' | 'bad' | 'quiet';
const styles = { good: 'green', warning: 'yellow', bad: 'red', quiet: 'dim' } as const;

/** Colors a word where the terminal may have color. */
export function toned({ color }: Pick<Terminal, 'color'>, tone: Tone, text: string): string {
  return color ? styleText(styles[tone], text, { validateStream: false }) : text;
}

/** How long ago or until: two units at most, as kubectl prints ages. */
export function formatAge(milliseconds: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
  ] as const;
  const at = units.findIndex(([, length]) => Math.abs(milliseconds) >= length);
  if (at === -1) return '0s';
  const [unit, length] = units[at]!;
  const whole = Math.floor(Math.abs(milliseconds) / length);
  const next = units[at + 1];
  if (!next || whole >= 10) return `${whole}${unit}`;
  const rest = Math.floor((Math.abs(milliseconds) - whole * length) / next[1]);
  return rest === 0 ? `${whole}${unit}` : `${whole}${unit}${rest}${next[0]}`;
}
