import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Control groups outlive the processes in them; those of killed containers may take a moment to be empty. */
const removeWhenPipeCloses = `read -r _; n=0
until [ $n -ge 100 ]; do
  left=
  for folder in "/sys/fs/cgroup$1" /sys/fs/cgroup/*"$1"; do
    [ -d "$folder" ] || continue
    find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null
    [ -d "$folder" ] && left=1
  done
  [ -z "$left" ] && exit
  n=$((n+1)); sleep 0.1
done`;

export interface ControlGroup {
  /** From the root of each hierarchy, as in `/lti-key-operator-e2e-123`. */
  readonly path: string;
  /** Removes it from every hierarchy, version 1 or 2. */
  remove(): Promise<void>;
}

/** A control group for the containers of this run, removed whenever this process ends, SIGKILL included. */
export function controlGroup(): ControlGroup {
  const path = `/lti-key-operator-e2e-${process.pid}`;
  for (const hierarchy of hierarchies()) makeGroup(hierarchy, path);
  const remover = spawn('/bin/sh', ['-c', removeWhenPipeCloses, 'sh', path], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const removed = new Promise<void>((resolve) => remover.on('close', () => resolve()));
  return {
    path,
    async remove() {
      remover.stdin.end();
      await removed;
    },
  };
}

/** Where control groups are mounted: one place with version 2, one for each controller with version 1. */
function hierarchies(): string[] {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').trim().split('\n');
  return mounts.flatMap((line) => {
    const [, path = '', type = ''] = line.split(' ');
    return type === 'cgroup' || type === 'cgroup2' ? [path] : [];
  });
}

function makeGroup(hierarchy: string, path: string): void {
  const group = join(hierarchy, path);
  mkdirSync(group);
  // With version 1, a new group has no processors and no memory until they are assigned.
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    const [from, to] = [join(hierarchy, name), join(group, name)];
    if (existsSync(from) && existsSync(to)) writeFileSync(to, readFileSync(from));
  }
}
