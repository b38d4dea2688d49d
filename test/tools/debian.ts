import { execFileSync } from 'node:child_process';
import { globSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cached } from './cache.ts';

/** PHP, Ruby and Elixir from Debian's packages, unpacked into the cache: nothing is installed on the machine. */

const wanted = ['php-cli', 'ruby', 'ruby-jwt', 'ruby-json-jwt', 'elixir', 'erlang-jose', 'erlang-jiffy'];

export interface Interpreter {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

export type Language = 'php' | 'ruby' | 'elixir';

/** `undefined` where Debian's packages are not to be had. */
export function interpreters(): Readonly<Record<Language, Interpreter>> | undefined {
  try {
    const folder = cached('debian', [...wanted, process.arch], unpack);
    return interpretersIn(join(folder, 'root'));
  } catch {
    return undefined;
  }
}

/** The packages that the machine does not have, with their dependencies. */
function unpack(folder: string): void {
  const [debs, root] = [join(folder, 'debs'), join(folder, 'root')];
  for (const each of [debs, root]) mkdirSync(each);
  // Lists of its own, because the machine's may be absent or older than the packages.
  for (const each of ['lists', 'archives']) mkdirSync(join(folder, each, 'partial'), { recursive: true });
  const own = [
    '-o',
    `Dir::State::lists=${join(folder, 'lists')}`,
    '-o',
    `Dir::Cache=${folder}`,
    '-o',
    'APT::Sandbox::User=',
  ];
  const apt = (...args: readonly string[]): string =>
    execFileSync('apt-get', ['-qq', ...own, ...args], { cwd: debs, encoding: 'utf8', stdio: 'pipe', timeout: 120_000 });
  apt('update');
  const uris = apt('install', '--print-uris', '--no-install-recommends', ...wanted);
  apt('download', ...[...uris.matchAll(/^'\S+' ([^_]+)_/gm)].map(([, name = '']) => name));
  for (const deb of globSync(join(debs, '*.deb'))) execFileSync('dpkg', ['-x', deb, root]);
  for (const each of ['debs', 'lists', 'archives']) rmSync(join(folder, each), { recursive: true });
}

function interpretersIn(root: string): Readonly<Record<Language, Interpreter>> {
  const one = (pattern: string): string => globSync(join(root, pattern))[0] ?? '';
  const libraries = one('usr/lib/*-linux-gnu');
  const env = { ...process.env, LD_LIBRARY_PATH: libraries };
  const ruby = [
    'usr/lib/ruby/vendor_ruby',
    'usr/lib/ruby/3.*',
    'usr/lib/*-linux-gnu/ruby/3.*',
    'usr/share/rubygems-integration/all/gems/*/lib',
    'usr/share/rubygems-integration/all/gems/*/lib/concurrent-ruby',
  ].flatMap((pattern) => globSync(join(root, pattern)));
  const erlang = join(root, 'usr/lib/erlang');
  const binaries = one('usr/lib/erlang/erts-*/bin');
  return {
    php: { command: one('usr/bin/php[0-9]*[0-9]'), args: ['-n'], env },
    ruby: { command: one('usr/bin/ruby3*'), args: ['--disable-gems'], env: { ...env, RUBYLIB: ruby.join(':') } },
    elixir: {
      command: join(binaries, 'erlexec'),
      args: ['-boot', one('usr/lib/erlang/releases/*/start_clean.boot').replace(/\.boot$/, ''), '-noshell'].concat([
        '-elixir',
        'ansi_enabled',
        'false',
        '-s',
        'elixir',
        'start_cli',
        '-extra',
      ]),
      env: {
        ...env,
        ROOTDIR: erlang,
        BINDIR: binaries,
        EMU: 'beam',
        PROGNAME: 'erl',
        ERL_LIBS: join(root, 'usr/lib/elixir/lib'),
      },
    },
  };
}
