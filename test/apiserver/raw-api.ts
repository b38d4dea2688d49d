import { request } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import { controlPlane } from './control-plane-fixture.ts';

export interface Answer {
  readonly code: number;
  /** `Status.message` of a refusal, which is what kubectl prints; empty when the request was granted. */
  readonly message: string;
}

/**
 * One request to the API server with nothing between: no validation by a client, no retry. `kubeconfig` is the admin's
 * unless named.
 */
export async function rawRequest(
  method: 'POST' | 'PATCH' | 'PUT' | 'DELETE',
  path: string,
  body?: object,
  kubeconfig = controlPlane().kubeconfig,
): Promise<Answer> {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  const options = { method, headers: { 'content-type': contentType(method) } };
  await config.applyToHTTPSOptions(options);
  return new Promise((resolve, reject) => {
    const sent = request(`${config.getCurrentCluster()?.server}${path}`, options, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => {
        const code = response.statusCode ?? 0;
        resolve({ code, message: code < 300 ? '' : messageOf(text) });
      });
    });
    sent.on('error', reject);
    sent.end(body && JSON.stringify(body));
  });
}

function contentType(method: string): string {
  return method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
}

function messageOf(text: string): string {
  const status: { message?: string } = JSON.parse(text);
  return status.message ?? '';
}
