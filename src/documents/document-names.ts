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

export interface DocumentOwner {
  /** Absent for the document of all namespaces. */
  readonly namespace?: string;
  /** Absent for the document of a namespace, too. */
  readonly registration?: string;
}

/** Whose document the file holds; `undefined` if it holds none. The name of a document cannot lead to another directory. */
export function documentOwner(file: string): DocumentOwner | undefined {
  if (file === allFile) return {};
  if (file.length > longestFileName) return undefined;
  const [, whole, namespace, registration] = documentFile.exec(file) ?? [];
  if (whole !== undefined) return { namespace: whole };
  return namespace === undefined || registration === undefined ? undefined : { namespace, registration };
}

/** The path of the document in this file; `undefined` if it holds none. */
export function servedPath(file: string): string | undefined {
  const owner = documentOwner(file);
  if (owner === undefined) return undefined;
  const { namespace, registration } = owner;
  if (namespace === undefined) return allKeysPath;
  return registration === undefined ? namespacePath(namespace) : registrationPath(namespace, registration);
}

/** False for the document of one registration. An aggregate holds the keys of several. */
export function isAggregate(file: string): boolean {
  return !file.startsWith('registration_');
}
