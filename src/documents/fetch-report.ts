import { operatorName } from '../api/names.ts';
import { isJsonObject, parseJsonObject } from '../lib/json-object.ts';

/** What a sidecar reports on its admin address: how often, and how long ago, clients fetched each document. */

export const fetchReportPath = '/fetches';

/** What the operator sends as User-Agent; requests with it are no evidence that a platform fetches a document. */
export const operatorUserAgent = `${operatorName}/observer`;

export function isOperatorRequest(userAgent: string | undefined): boolean {
  return userAgent?.startsWith(`${operatorName}/`) ?? false;
}

export interface Fetched {
  /** Fetches since the sidecar started. */
  readonly count: number;
  /** Since the last one. An age instead of a time: the clocks of two machines differ. */
  readonly secondsAgo: number;
}

/** Path of the document → its fetches. Documents that were not fetched are missing. */
export type FetchReport = ReadonlyMap<string, Fetched>;

export function formatFetchReport(report: FetchReport): string {
  return JSON.stringify({ fetches: Object.fromEntries(report) });
}

/** `undefined` for anything but a complete report. */
export function parseFetchReport(text: string): FetchReport | undefined {
  const fetches = parseJsonObject(text)?.['fetches'];
  if (!isJsonObject(fetches)) return undefined;
  const report = new Map<string, Fetched>();
  for (const [path, fetched] of Object.entries(fetches)) {
    if (!isJsonObject(fetched)) return undefined;
    const { count, secondsAgo } = fetched;
    if (!isAmount(count) || !isAmount(secondsAgo)) return undefined;
    report.set(path, { count, secondsAgo });
  }
  return report;
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
