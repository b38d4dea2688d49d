import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { runs, unpackDebianPackages } from '../debian-package.ts';

const programs = { promtool: 'PROMTOOL', prometheus: 'PROMETHEUS' } as const;

/**
 * A program of Prometheus: what PROMTOOL or PROMETHEUS names, the one on the PATH, or else the one in Debian's package
 * `prometheus`, unpacked into a cache. It is not installed, because that would start a Prometheus server.
 *
 * @throws Error that says what to install or set
 */
export function findPrometheusProgram(name: keyof typeof programs): string {
  const named = process.env[programs[name]];
  if (named) return named;
  if (runs(name, ['--version'])) return name;
  const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'lti-key-operator', 'promtool');
  const unpacked = join(cache, 'usr/bin', name);
  if (existsSync(unpacked) || unpackDebianPackages(['prometheus'], cache)) return unpacked;
  throw new Error(
    `${name} is missing: install the Debian package prometheus, or set ${programs[name]} to the path of the program.`,
  );
}
