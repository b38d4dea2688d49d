import { parseMetrics, total } from './prometheus-text.ts';

/** The controller's requests to the API server, from its metrics. */
export interface ApiCalls {
  readonly GET: number;
  /** The reads that found nothing. */
  readonly notFound: number;
  readonly POST: number;
  readonly PUT: number;
  readonly DELETE: number;
  readonly reconciles: number;
}

export function apiCalls(metrics: string): ApiCalls {
  const samples = parseMetrics(metrics);
  const requests = (labels: Readonly<Record<string, string>>): number =>
    total(samples, 'rest_client_requests_total', labels);
  return {
    GET: requests({ method: 'GET' }),
    notFound: requests({ method: 'GET', code: '404' }),
    POST: requests({ method: 'POST' }),
    PUT: requests({ method: 'PUT' }),
    DELETE: requests({ method: 'DELETE' }),
    reconciles: total(samples, 'controller_runtime_reconcile_total'),
  };
}

export function callsBetween(before: ApiCalls, after: ApiCalls): ApiCalls {
  return {
    GET: after.GET - before.GET,
    notFound: after.notFound - before.notFound,
    POST: after.POST - before.POST,
    PUT: after.PUT - before.PUT,
    DELETE: after.DELETE - before.DELETE,
    reconciles: after.reconciles - before.reconciles,
  };
}

export function requestsOf({ GET, POST, PUT, DELETE }: ApiCalls): number {
  return GET + POST + PUT + DELETE;
}

export function writesOf({ POST, PUT, DELETE }: ApiCalls): number {
  return POST + PUT + DELETE;
}

export function perRegistration(calls: ApiCalls, count: number): string {
  const each = (figure: number): string => (figure / count).toFixed(2);
  return `${each(calls.GET)} GET (${each(calls.notFound)} of them 404), ${each(calls.POST)} POST, ${each(calls.PUT)} PUT, ${each(calls.DELETE)} DELETE, ${each(calls.reconciles)} reconciles`;
}
