import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { allKeysPath } from '../src/api/names.ts';
import { allFile, namespaceFile, registrationFile } from '../src/documents/document-names.ts';

/**
 * The sidecar while registrations are created: its files come one by one, as the publisher writes them, and with each
 * hundred the document of their namespace and that of all of them are others. Resolves when the last one is served.
 */
const atOnce = 100;
/** Longer than the publisher lets aggregates rest that it writes in 20 ms, so that they are written more often than there. */
const pauseMs = 250;

export async function createLive(
  directory: string,
  port: number,
  registrations: readonly { readonly namespace: string; readonly name: string; readonly key: object }[],
): Promise<void> {
  const all: object[] = [];
  const byNamespace = new Map<string, object[]>();
  const put = async (file: string, content: object): Promise<void> => {
    await writeFile(join(directory, '.tmp-1'), JSON.stringify(content));
    await rename(join(directory, '.tmp-1'), join(directory, file));
  };
  await mkdir(directory, { recursive: true });
  for (let at = 0; at < registrations.length; at += atOnce) {
    const changed = new Set<string>();
    for (const { namespace, name, key } of registrations.slice(at, at + atOnce)) {
      await put(registrationFile(namespace, name), { keys: [key] });
      byNamespace.set(namespace, [...(byNamespace.get(namespace) ?? []), key]);
      all.push(key);
      changed.add(namespace);
    }
    for (const namespace of changed) await put(namespaceFile(namespace), { keys: byNamespace.get(namespace) });
    await put(allFile, { keys: all });
    await put('sync.json', { syncedAt: new Date().toISOString() });
    await wait(pauseMs);
  }
  const last = await readFile(join(directory, allFile), 'utf8');
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${port}${allKeysPath}`);
    if ((await response.text()) === last) return;
    await wait(100);
  }
}
