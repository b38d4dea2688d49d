import { allKeysPath, namespacePath, registrationPath } from '../api/names.ts';

/** The names of the files in the publish directory, one for each document: the key set that is served at one path. */

/** The document of all namespaces. */
export const allFile = 'all.json';

/** Kubernetes names cannot contain `_`, so these names never collide. */
export function namespaceFile(namespace: string): string {
  return `namespace_${namespace}.json`;
}

export function registrationFile(namespace: string, registration: string): string {
  return `registration_${namespace}_${registration}.json`;
}

const documentFile = /^(?:namespace_([a-z0-9.-]+)|registration_([a-z0-9.-]+)_([a-z0-9.-]+))\.json$/;
/** The limit of every file system that may hold a publish directory. */
const longestFileName = 255;

/** Whose keys a document holds. Those of `all` namespaces and of a `namespace` are aggregates: they hold keys of several registrations. */
export type DocumentOwner =
  | { readonly scope: 'all' }
  | { readonly scope: 'namespace'; readonly namespace: string }
  | { readonly scope: 'registration'; readonly namespace: string; readonly registration: string };

/** Whose document the file holds; `undefined` if it holds none. The name of a document cannot lead to another directory. */
export function documentOwner(file: string): DocumentOwner | undefined {
  if (file === allFile) return { scope: 'all' };
  if (file.length > longestFileName) return undefined;
  const [, whole, namespace, registration] = documentFile.exec(file) ?? [];
  if (whole !== undefined) return { scope: 'namespace', namespace: whole };
  if (namespace === undefined || registration === undefined) return undefined;
  return { scope: 'registration', namespace, registration };
}

/** The path of the document in this file; `undefined` if it holds none. */
export function servedPath(file: string): string | undefined {
  const owner = documentOwner(file);
  switch (owner?.scope) {
    case 'all':
      return allKeysPath;
    case 'namespace':
      return namespacePath(owner.namespace);
    case 'registration':
      return registrationPath(owner.namespace, owner.registration);
    default:
      return undefined;
  }
}

/** Whether the file holds the document of one registration. */
export function isOfRegistration(file: string): boolean {
  return documentOwner(file)?.scope === 'registration';
}
