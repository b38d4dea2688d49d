import { generateKeyPair } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';

/** The yardstick: `crypto.generateKeyPair` and nothing else, as many at once as there are cores. */

const generate = promisify(generateKeyPair);
const count = Number(process.argv[2]);
let begun = 0;

async function work(): Promise<void> {
  for (; begun < count;) {
    begun += 1;
    await generate('rsa', { modulusLength: 2048 });
  }
}

await generate('rsa', { modulusLength: 2048 });
const [start, cpu] = [performance.now(), process.cpuUsage()];
await Promise.all(Array.from({ length: availableParallelism() }, work));
const { user, system } = process.cpuUsage(cpu);
console.log(JSON.stringify({ seconds: (performance.now() - start) / 1000, cpuSeconds: (user + system) / 1e6 }));
