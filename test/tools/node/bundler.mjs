// Lets Node.js resolve imports as bundlers do: without the suffix, of folders, and of JSON. @lti-tool/core needs it.
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';

const missing = new Set(['ERR_MODULE_NOT_FOUND', 'ERR_UNSUPPORTED_DIR_IMPORT']);

registerHooks({
  resolve(specifier, context, next) {
    for (const suffix of ['', '.js']) {
      try {
        return next(specifier + suffix, context);
      } catch (error) {
        if (!missing.has(error.code) || !specifier.startsWith('.')) throw error;
      }
    }
    return next(`${specifier}/index.js`, context);
  },
  load(url, context, next) {
    if (!url.endsWith('.json') || context.importAttributes.type === 'json') return next(url, context);
    const source = `export const { version } = ${readFileSync(fileURLToPath(url), 'utf8')};`;
    return { format: 'module', shortCircuit: true, source };
  },
});
