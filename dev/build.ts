import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Metafile, type Plugin } from 'esbuild';

/** Bundles the commands: what runs in production has no node_modules. Each command is a chunk of its own. */

const root = join(import.meta.dirname, '..');

/**
 * client-node does not say that its modules only define things, so its 700 models would all be bundled for the sake of
 * KubeConfig. Left out, they save about 10 MiB of memory at run time.
 */
const withoutUnusedModels: Plugin = {
  name: 'without-unused-models',
  setup(bundling) {
    bundling.onResolve({ filter: /^(\.\.?\/|@kubernetes\/)/ }, async ({ path, pluginData, ...from }) => {
      const ofClient = from.importer.includes('@kubernetes/client-node/') || path.startsWith('@kubernetes/');
      if (pluginData === 'resolving' || !ofClient) return undefined;
      const { resolveDir, kind, importer } = from;
      const found = await bundling.resolve(path, { resolveDir, kind, importer, pluginData: 'resolving' });
      return { ...found, sideEffects: false };
    });
  },
};

/** Writes the bundle into a folder. Source maps contain paths relative to it. */
export async function bundle(outdir: string, { sourcemap }: { readonly sourcemap: boolean }): Promise<Metafile> {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: { 'lti-key-operator': 'src/main.ts', 'kubectl-lti': 'src/kubectl-lti.ts' },
    outdir,
    outExtension: { '.js': '.js' },
    bundle: true,
    splitting: true,
    minify: true,
    sourcemap,
    sourcesContent: false,
    // The names of chunks depend on paths, which must be the same if node_modules is a link.
    preserveSymlinks: true,
    metafile: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    // CommonJS packages in an ES module bundle ask for `require`.
    banner: {
      js: "import { createRequire as createRequireOf } from 'node:module';\nconst require = createRequireOf(import.meta.url);",
    },
    legalComments: 'external',
    plugins: [withoutUnusedModels],
    logLevel: 'warning',
  });
  return metafile;
}

if (import.meta.main) {
  const dist = join(root, 'dist');
  const outdir = join(root, 'dist.new');
  rmSync(outdir, { recursive: true, force: true });
  await bundle(outdir, { sourcemap: true });
  // Swapped in at once, so that a process that starts meanwhile finds all old or all new files.
  rmSync(dist, { recursive: true, force: true });
  renameSync(outdir, dist);
}
