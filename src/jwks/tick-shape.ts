import { createHook } from 'node:async_hooks';

const kept: object[] = [];

/**
 * Keeps `process.nextTick`, of which node:http takes several for each answer, as fast as it is at first. When no tick waits
 * during a full garbage collection, V8 forgets the hidden class of the objects that Node queues, and makes each later one
 * five times slower for the life of the process. One of them that is kept keeps the class; only a hook ever sees them.
 */
export function keepTicksFast(): void {
  const hook = createHook({
    init(_asyncID, type, _triggerAsyncID, resource) {
      if (type === 'TickObject') kept.push(resource);
    },
  });
  hook.enable();
  process.nextTick(() => undefined);
  hook.disable();
}
