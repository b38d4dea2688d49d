import { leafCommands } from '../../src/cli/leaf-commands.ts';
import { createProgram } from '../../src/cli/program.ts';
import { systemClock } from '../../src/lib/clock.ts';

const marker = '<!-- The rest is generated from src/cli: npm run generate. -->';

/** The page with its hand-written beginning, and the help of every subcommand as it is printed. */
export async function withCommandReference(page: string): Promise<string> {
  const [beginning] = page.split(marker);
  return `${beginning}${marker}\n\n${helpTexts().join('\n')}`;
}

function helpTexts(): string[] {
  const written: string[] = [];
  const program = createProgram({
    out: (text) => void written.push(text),
    err: (text) => void written.push(text),
    confirm: () => Promise.resolve(undefined),
    readInput: () => Promise.resolve(''),
    interactive: false,
    columns: 80,
    color: false,
    environment: {},
    clock: systemClock,
    signal: new AbortController().signal,
  });
  return leafCommands(program).map(({ name, command }) => {
    written.length = 0;
    command.outputHelp();
    return `## ${name}\n\n\`\`\`text\n${written.join('').trimEnd()}\n\`\`\`\n`;
  });
}
