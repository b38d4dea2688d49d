import type { Command } from 'commander';

export interface LeafCommand {
  /** As `kek status`, without the name of the program. */
  readonly name: string;
  readonly command: Command;
}

/** Every command that does something, in the order of the help. */
export function leafCommands(program: Command): readonly LeafCommand[] {
  return program.commands.flatMap((command) =>
    command.commands.length === 0
      ? [{ name: command.name(), command }]
      : leafCommands(command).map(({ name, command: leaf }) => ({
          name: `${command.name()} ${name}`,
          command: leaf,
        })),
  );
}
