import type { LtiKey, LtiRegistration } from '../../api/objects.ts';
import type { ControllerConfig } from '../../config.ts';
import { CombinedKekProvider } from '../../crypto/combined-kek-provider.ts';
import { FileKekProvider } from '../../crypto/file-kek-provider.ts';
import type { KekProvider } from '../../crypto/kek-provider.ts';
import { KmsKekProvider } from '../../crypto/kms/kms-kek-provider.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Informer } from '../../kube/informer.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../observability/log.ts';
import { knownRegistrations } from '../event-handlers.ts';
import { CanariedKekProvider } from './kek-canary.ts';
import { KekUsage } from './kek-usage.ts';
import { KekWatch } from './kek-watch.ts';

interface KeyEncryptionOptions {
  readonly config: Pick<ControllerConfig, 'kekDir' | 'kmsSocket'>;
  readonly client: KubeClient;
  readonly registrations: Informer<LtiRegistration>;
  readonly keys: Informer<LtiKey>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The configured source of key-encryption keys, with what checks, watches and counts them. */
export async function createKeyEncryption({ config, client, registrations, keys, clock, log }: KeyEncryptionOptions) {
  const { source, close } = await kekSource(config, clock);
  const keks = new CanariedKekProvider({ keks: source, client, namespace: client.namespace, keys, clock });
  const kekWatch = new KekWatch({ keks, clock, log });
  const usage = new KekUsage({
    known: () =>
      registrations.connected() && keys.connected() ? knownRegistrations({ registrations, keys }) : undefined,
    sealingKekID: () => kekWatch.sealingKekID(),
    canaryIDs: () => keks.canaryIDs(),
    log,
  });
  return { keks, kekWatch, usage, close };
}

/** Loads gRPC only for a KMS, because it takes memory. */
async function kekSource(
  { kekDir, kmsSocket }: KeyEncryptionOptions['config'],
  clock: Clock,
): Promise<{ source: KekProvider; close: () => void }> {
  const files = kekDir === undefined ? undefined : new FileKekProvider({ directory: kekDir, clock });
  if (kmsSocket === undefined) return { source: files!, close: () => undefined };
  const { GrpcKms } = await import('../../crypto/kms/grpc-kms.ts');
  const service = new GrpcKms({ socket: kmsSocket });
  const kms = new KmsKekProvider({ kms: service, clock });
  return { source: files ? new CombinedKekProvider({ files, kms }) : kms, close: () => service.close() };
}
