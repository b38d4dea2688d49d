import { goProgram } from '../go-program.ts';

/** Path of the KMS plugin (main.go). */
export function kmsPluginProgram(): Promise<string> {
  return goProgram(import.meta.dirname);
}
