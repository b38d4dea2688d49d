import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { goProgram } from '../go-program.ts';

/** What main.go reads. */
export interface Checks {
  readonly objects: readonly object[];
  /** An entry of `spec.healthCheckExprs` of a Flux Kustomization. */
  readonly flux: { readonly current: string; readonly inProgress?: string; readonly failed?: string };
  /** A health script of Argo CD. */
  readonly lua: string;
}

/** What GitOps tools make of one object. */
export interface Health {
  readonly kstatus: { readonly status: string; readonly message: string };
  readonly flux: string;
  readonly argo: { readonly status: string; readonly message: string };
}

/** The health of each object. @throws Error with the words of the tool that cannot compute it */
export async function gitopsHealth(checks: Checks): Promise<readonly Health[]> {
  const child = spawn(await goProgram(import.meta.dirname), { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.end(JSON.stringify(checks));
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  if (out === '') throw new Error(err.trim());
  const health: readonly Health[] = JSON.parse(out);
  return health;
}
