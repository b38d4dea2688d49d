import { generateKeyPair } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';

/** The baseline: `crypto.generateKeyPair` and nothing else. Arguments: the number of keys, and how many are generated concurrently. */

const generate = promisify(generateKeyPair);
const count = Number(process.argv[2]);
const atOnce = Number(process.argv[3] ?? availableParallelism());
const each: number[] = [];
let begun = 0;

async function work(): Promise<void> {
  for (; begun < count;) {
    begun += 1;
    const began = performance.now();
    await generate('rsa', { modulusLength: 2048 });
    each.push(performance.now() - began);
  }
}

await generate('rsa', { modulusLength: 2048 });
const [start, cpu] = [performance.now(), process.cpuUsage()];
await Promise.all(Array.from({ length: atOnce }, work));
const { user, system } = process.cpuUsage(cpu);
const seconds = (performance.now() - start) / 1000;
console.log(JSON.stringify({ seconds, cpuSeconds: (user + system) / 1e6, each }));
