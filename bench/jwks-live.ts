import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { allKeysPath } from '../src/api/names.ts';
import { allFile, namespaceFile, registrationFile } from '../src/documents/document-names.ts';

/**
 * Plays the publisher while registrations are created: it writes their files one by one, and after each hundred the documents of
 * their namespaces and of all namespaces. Resolves when the last one is served.
 */
const atOnce = 100;
/** Shorter than the publisher's own pause between aggregates that take 20 ms to write, so that they change more often. */
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
