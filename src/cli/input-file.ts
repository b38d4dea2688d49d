import { readFile } from 'node:fs/promises';
import { errorCode } from '../lib/error-code.ts';
import { CliError } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

/** The text of a file that the user names; `-` is standard input. Rejects with a CliError that ends with `hint`. */
export async function readInputFile(file: string, hint: string, terminal: Terminal): Promise<string> {
  return file === '-' ? terminal.readInput() : readFile(file, 'utf8').catch(unreadable(file, hint));
}

/** Turns an error of node:fs into a CliError that names the file. */
export function unreadable(file: string, hint: string): (error: unknown) => never {
  return (error) => {
    throw new CliError(`${file} cannot be read (${errorCode(error)}): ${hint}`);
  };
}
