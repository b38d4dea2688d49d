import { Argument, type Command } from 'commander';
import { completionScript, type Shell, shells } from '../completion-scripts.ts';
import { describedCommand } from '../command.ts';
import type { Terminal } from '../terminal.ts';

export function completionCommand(terminal: Terminal): Command {
  const command = describedCommand({
    usage: 'completion',
    summary: 'Print a script that completes commands and options.',
    details:
      'For bash, zsh and fish, the script completes the command kubectl-lti. With kubectl, it prints a script for kubectl itself: kubectl runs an executable kubectl_complete-lti in your PATH to complete kubectl lti.',
    examples: [
      [
        'kubectl lti completion kubectl > ~/bin/kubectl_complete-lti; chmod +x ~/bin/kubectl_complete-lti',
        'Complete kubectl lti, wherever kubectl completes',
      ],
      ['kubectl lti completion bash > ~/.local/share/bash-completion/completions/kubectl-lti', 'Complete kubectl-lti'],
    ],
  });
  return command
    .addArgument(new Argument('<shell>', 'The shell.').choices(shells))
    .action((shell: Shell) => terminal.out(completionScript(shell, command.parent!)));
}
