import type { ControlPlane } from '../control-plane/control-plane.ts';

/** Prints on standard output what happens and when. */
export interface Narrator {
  /** Milliseconds since the start of the demo. */
  elapsed(): number;
  /** A sentence behind the seconds since the start. */
  say(sentence: string): void;
  print(text: string): void;
  /** A kubectl command and what it prints, between blank lines. @throws Error with kubectl's words when it fails */
  kubectl(controlPlane: ControlPlane, args: readonly string[]): Promise<void>;
}

export function createNarrator(): Narrator {
  const start = performance.now();
  const elapsed = (): number => performance.now() - start;
  let blank = true;
  const print = (text: string): void => {
    console.log(blank && text.startsWith('\n') ? text.slice(1) : text);
    blank = text.endsWith('\n');
  };
  return {
    elapsed,
    print,
    say: (sentence) => print(`${seconds(elapsed()).padStart(6)} s  ${sentence}`),
    async kubectl(controlPlane, args) {
      const { code, stdout, stderr } = await controlPlane.kubectlRun(args);
      const command = `kubectl ${args.map(quoted).join(' ')}`;
      if (code !== 0) throw new Error(`${command}: ${stderr.trim()}`);
      print(`\n$ ${command}\n${stdout.trimEnd()}\n`);
    },
  };
}

export function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(1);
}

/** Rows in columns as wide as their widest cell, two spaces apart. */
export function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function quoted(argument: string): string {
  return /^[\w./=,:-]+$/.test(argument) ? argument : `'${argument}'`;
}
