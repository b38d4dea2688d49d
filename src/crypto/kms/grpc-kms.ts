import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { fromJSON, type ServiceDefinition } from '@grpc/proto-loader';
import { type Duration, second } from '../../domain/duration.ts';
import { KekError } from '../errors.ts';
import { keyIDProblem, parseWrappedKey, type WrappedKey } from '../wrapped-key.ts';
import api from './api.json' with { type: 'json' };
import type { Kms } from './kms.ts';

/** Importing this file loads gRPC, which takes memory, so only a controller with `--kms-socket` imports it. */

type Method = 'Status' | 'Encrypt' | 'Decrypt';

const defaultDeadline: Duration = 10 * second;
/** The plugin gets the same deadline and fails by then itself, so its error may arrive before the client gives up. */
const deadlineMargin: Duration = 100;
/** Bytes of a wrapping key. */
const keySize = 32;
/** `v2beta1` is the same API according to its definition. */
const versions: readonly unknown[] = ['v2', 'v2beta1'];

const channelOptions = {
  // Reconnects to a restarted plugin by the next poll, not after gRPC's default of two minutes.
  'grpc.initial_reconnect_backoff_ms': second,
  'grpc.max_reconnect_backoff_ms': 5 * second,
  // The largest valid response has 34 KiB.
  'grpc.max_receive_message_length': 64 * 1024,
};

const definition = api as unknown as Parameters<typeof fromJSON>[0];
const service = fromJSON(definition, { bytes: Buffer, defaults: true, objects: true })[
  'v2.KeyManagementService'
] as ServiceDefinition;

/**
 * A KMS v2 plugin on a Unix socket. Error messages quote nothing that the plugin sent, because tenants can read conditions and a
 * broken plugin might return its input.
 */
export class GrpcKms implements Kms {
  readonly subject: string;
  readonly #deadline: Duration;
  readonly #client: Client;

  /** Connects at the first call. `deadline` applies to each call. */
  constructor({ socket, deadline = defaultDeadline }: { socket: string; deadline?: Duration }) {
    const path = resolve(socket);
    this.subject = `the KMS plugin at ${path}`;
    this.#deadline = deadline;
    this.#client = new Client(`unix:${path}`, credentials.createInsecure(), channelOptions);
  }

  close(): void {
    this.#client.close();
  }

  async status(): Promise<string> {
    const { version, healthz, keyId } = await this.#call('Status', {});
    if (!versions.includes(version)) throw this.#malformed('Status', 'version is not v2');
    if (healthz !== 'ok') {
      const what = 'reports in Status that it is not healthy: check its log and the service behind it';
      throw new KekError('KMSUnhealthy', `${this.subject} ${what}`);
    }
    const problem = keyIDProblem(keyId);
    if (problem !== undefined) throw this.#malformed('Status', problem);
    return keyId as string;
  }

  async encrypt(key: Uint8Array): Promise<WrappedKey> {
    const { ciphertext, keyId, annotations } = await this.#call('Encrypt', { plaintext: key, uid: randomUUID() });
    const wrapped = {
      keyID: keyId,
      ciphertext: (ciphertext as Buffer).toString('base64url'),
      annotations: recode(annotations as Record<string, Buffer>, (bytes) => bytes.toString('base64url')),
    };
    return parseWrappedKey(wrapped, (what) => {
      throw this.#malformed('Encrypt', what);
    });
  }

  async decrypt({ keyID, ciphertext, annotations }: WrappedKey): Promise<Buffer> {
    const { plaintext } = await this.#call('Decrypt', {
      ciphertext: Buffer.from(ciphertext, 'base64url'),
      uid: randomUUID(),
      keyId: keyID,
      annotations: recode(annotations, (text) => Buffer.from(text, 'base64url')),
    });
    const key = plaintext as Buffer;
    if (key.length === keySize) return key;
    key.fill(0);
    throw this.#malformed('Decrypt', 'plaintext is not the 32 bytes of a wrapping key');
  }

  #call(method: Method, request: object): Promise<Record<string, unknown>> {
    const { path, requestSerialize, responseDeserialize } = service[method]!;
    const tooLateAt = performance.now() + this.#deadline - deadlineMargin;
    return new Promise((done, fail) => {
      const answered = (error: ServiceError | null, bytes: Buffer | undefined): void => {
        if (error || !bytes) {
          const code = performance.now() >= tooLateAt ? status.DEADLINE_EXCEEDED : error?.code;
          return fail(this.#failure(method, code ?? status.UNKNOWN, error?.details));
        }
        try {
          done(responseDeserialize(bytes) as Record<string, unknown>);
        } catch {
          fail(this.#malformed(method, 'message cannot be decoded'));
        }
      };
      const options = { deadline: Date.now() + this.#deadline };
      // The callback decodes, to distinguish a malformed message from an error of the plugin.
      this.#client.makeUnaryRequest(path, requestSerialize, (bytes) => bytes, request, options, answered);
    });
  }

  #malformed(method: Method, what: string): KekError {
    const remedy = 'Use a release of the plugin that implements the KMS v2 API of Kubernetes';
    return new KekError('KMSMalformed', `${this.subject} sent an invalid response to ${method}: ${what}. ${remedy}`);
  }

  #failure(method: Method, code: status, details = ''): KekError {
    switch (code) {
      case status.UNAVAILABLE: {
        const cause = /\bE[A-Z]{3,}\b/.exec(details)?.[0] ?? 'connection lost';
        const what = `cannot be reached (${cause}): start it, mount its socket, or name another socket with --kms-socket`;
        return new KekError('KMSUnavailable', `${this.subject} ${what}`);
      }
      case status.DEADLINE_EXCEEDED: {
        const what = `did not answer ${method} within ${this.#deadline / second} s: check whether it reaches the service behind it`;
        return new KekError('KMSUnavailable', `${this.subject} ${what}`);
      }
      case status.UNIMPLEMENTED:
        return new KekError(
          'KMSMalformed',
          `${this.subject} does not implement ${method} of the KMS v2 API: use a plugin that does`,
        );
      default: {
        const remedy =
          method === 'Decrypt'
            ? 'the key in the KMS may be deleted or replaced, or the plugin may lack permission to use it'
            : 'the plugin may lack permission to use its key';
        const what = `refused ${method} (${status[code] ?? code}): ${remedy}. Check its log`;
        return new KekError('KMSRefused', `${this.subject} ${what}`);
      }
    }
  }
}

function recode<From, To>(
  annotations: Readonly<Record<string, From>>,
  change: (value: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(annotations).map(([name, value]) => [name, change(value)]));
}
