import { expect } from 'chai';
import { createServer } from 'node:net';
import { freePorts } from '../../../../dev/control-plane/ports.ts';

describe('freePorts', () => {
  it('freePorts gives different ports that can be listened on, outside the ranges of outgoing connections', async () => {
    const ports = await freePorts(20);
    expect(new Set(ports).size).to.equal(20);
    for (const port of ports) {
      expect(port).to.be.within(10_240, 32_767);
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.on('error', reject);
        server.listen(port, '127.0.0.1', () => server.close(() => resolve()));
      });
    }
  });
});
