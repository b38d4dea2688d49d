import { join } from 'node:path';
import { Child } from './jwks-child.ts';
import { quantile } from './quantile.ts';
import { bounded, type Measurement } from './row.ts';

/** The memory that scrapes of `/metrics` take, with the shipped probe server and metrics in a process that does nothing else. */

export interface ScrapeFigures {
  /** The largest number for one registration. */
  readonly seriesEach: number;
  /** The size of one response, in MiB. */
  readonly textMiB: number;
  /** The time of one scrape alone, in seconds. */
  readonly seconds: number;
  /** Resident memory in MiB after a few sequential scrapes. */
  readonly idleMiB: number;
  /** The largest increase over that during concurrent scrapes, in MiB. */
  readonly moreMiB: number;
}

const mostMoreMiB = 20;
const mostSeriesEach = 10;
const registrations = 10_000;
const scrapesAtOnce = 10;
const rounds = 5;
/** As in the image. */
const nodeOptions = ['--max-semi-space-size=2'];

export const scaleMetrics: Measurement = {
  rows: ['scale-metrics', 'scale-metrics-series'],
  async measure() {
    const { seriesEach, textMiB, seconds, idleMiB, moreMiB } = await measureScrapes();
    return [
      bounded(
        {
          name: 'scale-metrics',
          value: moreMiB,
          unit: 'MiB',
          notes: [
            `the largest increase during ${scrapesAtOnce} concurrent scrapes, over the ${idleMiB.toFixed(0)} MiB after sequential ones, at ${registrations} registrations`,
            `one response: ${textMiB.toFixed(1)} MiB in ${seconds.toFixed(2)} s`,
          ],
        },
        mostMoreMiB,
      ),
      bounded(
        {
          name: 'scale-metrics-series',
          value: seriesEach,
          unit: 'series each',
        },
        mostSeriesEach,
      ),
    ];
  },
};

export async function measureScrapes(count = registrations): Promise<ScrapeFigures> {
  const child = new Child(1, [...nodeOptions, join(import.meta.dirname, 'metrics-scrape-child.ts'), String(count)]);
  try {
    const url = `http://127.0.0.1:${await child.port('address')}/metrics`;
    const alone: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const start = performance.now();
      await bytesOf(url);
      alone.push((performance.now() - start) / 1000);
    }
    const idleMiB = child.residentMiB().now;
    const bytes = await bytesOf(url);
    child.forgetPeak();
    for (let round = 0; round < rounds; round += 1) {
      await Promise.all(Array.from({ length: scrapesAtOnce }, () => bytesOf(url)));
    }
    return {
      seriesEach: await mostSeries(url),
      textMiB: bytes / 2 ** 20,
      seconds: quantile(alone, 0.5),
      idleMiB,
      moreMiB: child.peakMiB() - idleMiB,
    };
  } finally {
    await child.stop();
  }
}

async function bytesOf(url: string): Promise<number> {
  const { status, body } = await fetch(url);
  if (status !== 200 || !body) throw new Error(`${url} answered ${status}`);
  let bytes = 0;
  for await (const chunk of body) bytes += chunk.length;
  return bytes;
}

async function mostSeries(url: string): Promise<number> {
  const counts = new Map<string, number>();
  const text = await (await fetch(url)).text();
  for (const [, of = ''] of text.matchAll(/\bregistration="([^"]+)"/g)) counts.set(of, (counts.get(of) ?? 0) + 1);
  return Math.max(...counts.values());
}
