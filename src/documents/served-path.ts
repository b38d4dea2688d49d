import { allKeysPath, namespacePath, registrationPath } from '../api/names.ts';
import { allFile } from './key-set.ts';

const documentName = /^(?:namespace_([a-z0-9.-]+)|registration_([a-z0-9.-]+)_([a-z0-9.-]+))\.json$/;

/** Where a file of the publish directory is served; `undefined` for files that are not documents. */
export function servedPath(file: string): string | undefined {
  if (file === allFile) return allKeysPath;
  const [, namespace, registrationNamespace, registration] = documentName.exec(file) ?? [];
  if (namespace !== undefined) return namespacePath(namespace);
  if (registrationNamespace === undefined || registration === undefined) return undefined;
  return registrationPath(registrationNamespace, registration);
}
