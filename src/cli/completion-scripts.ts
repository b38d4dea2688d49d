import type { Command, Option } from 'commander';
import { leafCommands } from './leaf-commands.ts';

export const shells = ['bash', 'zsh', 'fish', 'kubectl'] as const;
export type Shell = (typeof shells)[number];

/** A script that completes the commands and options of a program, and the values of options that have a fixed set. */
export function completionScript(shell: Shell, program: Command): string {
  return { bash, zsh, fish, kubectl }[shell](program);
}

/** What may follow a beginning of the command line, as `kek status`. */
interface Words {
  readonly after: string;
  readonly words: readonly string[];
}

/** The longest beginnings first; `''` is the last. */
function wordsOf(program: Command): readonly Words[] {
  const names = (command: Command): string[] => command.commands.map((each) => each.name());
  const parents = program.commands.filter(({ commands }) => commands.length > 0);
  return [
    ...leafCommands(program).map(({ name, command }) => ({ after: name, words: wordsAfter(command) })),
    ...parents.map((command) => ({ after: command.name(), words: names(command) })),
    { after: '', words: names(program) },
  ];
}

function wordsAfter(command: Command): string[] {
  const choices = command.registeredArguments.flatMap(({ argChoices = [] }) => argChoices);
  return [...choices, ...visibleOptions(command).map(({ long, short }) => long ?? short ?? ''), '--help'];
}

function visibleOptions(command: Command): readonly Option[] {
  return command.options.filter(({ hidden }) => !hidden);
}

/** The values of each option that has a fixed set of them; commands differ in the formats of `-o`, so each has its own. */
function choicesOf(command: Command): readonly (readonly [flags: readonly string[], values: readonly string[]])[] {
  return visibleOptions(command).flatMap(({ short, long, argChoices }) =>
    argChoices === undefined ? [] : [[[short, long].filter((flag) => flag !== undefined), argChoices] as const],
  );
}

/** Branches of a POSIX `case` over "the words before", a blank after each, that call `offer`. */
function branches(program: Command): string {
  const values = leafCommands(program).flatMap(({ name, command }) =>
    choicesOf(command).flatMap(([flags, choices]) =>
      flags.map((flag) => `    "${name} "*"${flag} ") offer ${choices.join(' ')} ;;`),
    ),
  );
  const words = wordsOf(program).map(({ after, words: offered }) =>
    after === '' ? `    "") offer ${offered.join(' ')} ;;` : `    "${after} "*) offer ${offered.join(' ')} ;;`,
  );
  return [...values, ...words].join('\n');
}

function bash(program: Command): string {
  return `# Completion of kubectl-lti for bash.
_kubectl_lti() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do before+="$word "; done
  offer() { COMPREPLY=($(compgen -W "$*" -- "$current")); }
  COMPREPLY=()
  case "$before" in
${branches(program)}
  esac
  unset -f offer
}
complete -o default -F _kubectl_lti kubectl-lti
`;
}

function zsh(program: Command): string {
  return `#compdef kubectl-lti
# Completion of kubectl-lti for zsh.
_kubectl_lti() {
  local before="" word
  for word in "\${(@)words[2,CURRENT-1]}"; do before+="$word "; done
  offer() { compadd -- "$@"; }
  case "$before" in
${branches(program)}
    *) _files ;;
  esac
  unfunction offer
}
compdef _kubectl_lti kubectl-lti
`;
}

/** kubectl runs \`kubectl_complete-lti\` with the words after \`kubectl lti\`; the last one is incomplete. */
function kubectl(program: Command): string {
  return `#!/bin/sh
# Completion of kubectl lti. Install it in your PATH as kubectl_complete-lti.
before=""
while [ "$#" -gt 1 ]; do before="$before$1 "; shift; done
current="$1"
offer() { for word in "$@"; do case "$word" in "$current"*) echo "$word" ;; esac; done; }
case "$before" in
${branches(program)}
esac
echo :4
`;
}

function fish(program: Command): string {
  const lines = program.commands.flatMap((command) => [
    `complete -c kubectl-lti -n __fish_use_subcommand -f -a ${command.name()} -d ${quoted(command.summary())}`,
    ...command.commands.map(
      (child) =>
        `complete -c kubectl-lti -n '__fish_seen_subcommand_from ${command.name()}' -f -a ${child.name()} -d ${quoted(child.summary())}`,
    ),
  ]);
  const options = leafCommands(program).flatMap(({ name, command }) => {
    const condition = name
      .split(' ')
      .map((word) => `__fish_seen_subcommand_from ${word}`)
      .join('; and ');
    const values = command.registeredArguments.flatMap(({ argChoices = [] }) => argChoices);
    const positional =
      values.length === 0 ? [] : [`complete -c kubectl-lti -n '${condition}' -f -a '${values.join(' ')}'`];
    const flags = visibleOptions(command).map(({ short, long, description, required, argChoices }) =>
      [
        `complete -c kubectl-lti -n '${condition}'`,
        ...(short === undefined ? [] : [`-s ${short.replace('-', '')}`]),
        ...(long === undefined ? [] : [`-l ${long.replace('--', '')}`]),
        ...(required ? ['-r'] : []),
        ...(argChoices === undefined ? [] : [`-f -a '${argChoices.join(' ')}'`]),
        `-d ${quoted(description)}`,
      ].join(' '),
    );
    return [...positional, ...flags];
  });
  return `# Completion of kubectl-lti for fish.\n${[...lines, ...options].join('\n')}\n`;
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)}'`;
}
