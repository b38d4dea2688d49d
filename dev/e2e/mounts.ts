import { mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from './run.ts';

/**
 * Kernel settings that kubelet requires, and would set for the whole machine. It finds these values in files of ours that lie
 * over the kernel's, and so sets nothing.
 */
const tunables: Readonly<Record<string, string>> = {
  'vm/overcommit_memory': '1',
  'vm/panic_on_oom': '0',
  'kernel/panic': '10',
  'kernel/panic_on_oops': '1',
  'kernel/keys/root_maxkeys': '1000000',
  'kernel/keys/root_maxbytes': '25000000',
};

/**
 * Lays folders of ours over those that container tools always write to, in the mount namespace of this
 * process.
 */
export async function hideTheMachine(folder: string): Promise<void> {
  const nameservers = realpathSync('/etc/resolv.conf');
  const text = readFileSync(nameservers);
  for (const path of ['/run', '/var/log']) await run('mount', ['-t', 'tmpfs', 'tmpfs', path]);
  for (const path of ['/etc', '/var/lib']) {
    const [upper, work] = ['upper', 'work'].map((name) => join(folder, name + path)) as [string, string];
    for (const made of [upper, work]) mkdirSync(made, { recursive: true });
    await run('mount', ['-t', 'overlay', 'overlay', '-o', `lowerdir=${path},upperdir=${upper},workdir=${work}`, path]);
  }
  mkdirSync(dirname(nameservers), { recursive: true });
  writeFileSync(nameservers, text);
}

export async function hideTunables(folder: string): Promise<void> {
  for (const [name, value] of Object.entries(tunables)) {
    const file = join(folder, `sysctl-${name.replaceAll('/', '.')}`);
    writeFileSync(file, `${value}\n`);
    await run('mount', ['--bind', file, `/proc/sys/${name}`]);
  }
}
