import { strict as assert } from 'node:assert';
import { setTimeout as wait } from 'node:timers/promises';
import { Pool } from 'undici';
import { say } from '../narrate.ts';

/** Bounds what is asked of the node, whatever it could do. */
const perSecond = 3_000;
/** Each new connection takes a port of this machine for a minute. */
const newConnectionsPerSecond = 200;
const connections = 16;

export interface LoadResult {
  readonly requests: number;
  /** Why a request failed, and how often. */
  readonly failures: ReadonlyMap<string, number>;
  readonly seconds: number;
  readonly p99Ms: number;
}

/**
 * Asks for the document over 16 connections that are kept open, at most 3,000 times a second, until `enough` says so; or
 * over a new connection each time, at most 200 times a second, which finds a Service that has no endpoint. An
 * answer that is not 200 with a body that `isRight` is a failure, and so is a connection that breaks; nothing is tried again.
 */
export async function load(
  url: string,
  isRight: (body: string) => boolean,
  enough: (requests: number) => boolean,
  over: 'kept connections' | 'new connections' = 'kept connections',
): Promise<LoadResult> {
  const reset = over === 'new connections';
  const rate = reset ? newConnectionsPerSecond : perSecond;
  const { origin, pathname } = new URL(url);
  const pool = new Pool(origin, { connections, pipelining: 1, headersTimeout: 10_000, bodyTimeout: 10_000 });
  const failures = new Map<string, number>();
  const durations: number[] = [];
  const started = performance.now();
  let requests = 0;

  async function ask(): Promise<void> {
    const sent = performance.now();
    let failure: string | undefined;
    try {
      const { statusCode, body } = await pool.request({ path: pathname, method: 'GET', reset });
      const text = await body.text();
      if (statusCode !== 200) failure = `answered ${statusCode}`;
      else if (!isRight(text)) failure = 'answered another document';
    } catch (error) {
      failure = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    }
    durations.push(performance.now() - sent);
    if (failure !== undefined) failures.set(failure, (failures.get(failure) ?? 0) + 1);
  }

  async function work(): Promise<void> {
    while (!enough(requests)) {
      const ahead = (requests / rate) * 1_000 - (performance.now() - started);
      if (ahead > 5) await wait(ahead);
      requests++;
      await ask();
    }
  }

  await Promise.all(Array.from({ length: connections }, work));
  await pool.close();
  const p99Ms = durations.toSorted((a, b) => a - b)[Math.floor(durations.length * 0.99)] ?? 0;
  return { requests, failures, seconds: (performance.now() - started) / 1_000, p99Ms };
}

/** Not one request over a new connection may fail while `act` runs. */
export async function underLoad(
  url: string,
  isRight: (body: string) => boolean,
  when: string,
  act: () => Promise<void>,
): Promise<void> {
  let done = false;
  const acting = async (): Promise<void> => {
    try {
      await act();
    } finally {
      done = true;
    }
  };
  const [{ requests, failures }] = await Promise.all([load(url, isRight, () => done, 'new connections'), acting()]);
  assert.deepEqual([...failures], [], `no request fails ${when}`);
  say(`0 failed of ${requests} new connections to the Service ${when}.`);
}
