/** What the package exports. */

export { check, type CheckOptions, type Finding } from './check.ts';
export type { DeliveredKey } from './delivered-key.ts';
export { type KeyDirectoryErrorCode, KeyDirectoryError } from './errors.ts';
export { type BundleListener, type KeyBundle, type KeyBundleOptions, openKeyBundle } from './key-bundle.ts';
export { type KeyDirectory, type KeyDirectoryOptions, openKeyDirectory } from './key-directory.ts';
export type { Registration } from './registration.ts';
export { predecessorWasRevoked, type Refreshed, type RefreshOptions, refreshPlatformCache } from './revocation.ts';
export {
  type ClientAssertionOptions,
  type DeepLinkingResponse,
  type KeySource,
  signClientAssertion,
  signDeepLinkingResponse,
  toolJwks,
} from './sign.ts';
export type { Delivery, PublicJwk, RecipientKey } from './version.ts';
