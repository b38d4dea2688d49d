import { spawn } from 'node:child_process';
import { existsSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder, findPrograms, reportOnStderr as report } from './control-plane/binaries.ts';
import { buildPrograms } from './control-plane/build.ts';
import { kubernetesModules, readModules } from './control-plane/modules.ts';

/**
 * `npm run test:compat` runs what depends on the version of Kubernetes against the oldest and the newest supported one, each
 * built from its Go module. `npm run test:compat -- kubernetes-1.32` runs it against one of them. docs/compatibility.md says why.
 */

const root = join(import.meta.dirname, '..');
const files = [
  'crd-validation', // the schema: CEL rules, formats, defaults
  'admission-policy', // ValidatingAdmissionPolicies with parameters
  'admission-deletion',
  'deploy', // every manifest
  'kube-client', // requests, watches, resource versions
  'kube-reflector',
  'replica-outage',
  'lifecycle', // the operator
  'revocation',
  'deletion',
  'rbac',
  'gitops',
].map((name) => `test/apiserver/${name}.test.ts`);

const renamed = files.filter((file) => !existsSync(join(root, file)));
// mocha would only warn.
if (renamed.length > 0) throw new Error(`dev/compat.ts names files that do not exist: ${renamed.join(', ')}`);

/** A folder with the servers of one version, for `KUBEBUILDER_ASSETS`. etcd is the same for all. */
async function servers(module: (typeof kubernetesModules)[number]): Promise<string> {
  const modules = readModules(undefined, module);
  const cache = cacheFolder(modules.fingerprint, process.env);
  await buildPrograms(['kube-apiserver', 'kube-controller-manager'], {
    cache,
    modules,
    environment: process.env,
    report,
  });
  const { etcd } = await findPrograms(['etcd']);
  const link = join(cache, 'etcd');
  if (!existsSync(link)) symlinkSync(etcd, link);
  return cache;
}

function test(assets: string): Promise<boolean> {
  const mocha = join(root, 'node_modules/mocha/bin/mocha.js');
  const run = spawn(process.execPath, [mocha, '--exit', '--config', '.mocharc.json', ...files], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, KUBEBUILDER_ASSETS: assets },
  });
  return new Promise((resolve) => run.on('close', (code) => resolve(code === 0)));
}

const wanted = process.argv.slice(2);
for (const module of kubernetesModules.filter((each) => wanted.length === 0 || wanted.includes(each))) {
  const { version } = readModules(undefined, module).plans['kube-apiserver'];
  const assets = await servers(module);
  report(`Kubernetes ${version}`);
  if (!(await test(assets))) {
    report(`tests failed against Kubernetes ${version}`);
    process.exitCode = 1;
  }
}
