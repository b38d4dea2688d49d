import { createServer } from 'node:http';

/**
 * The yardstick: node:http and nothing else, in its fastest use, answering every request with what its first argument
 * says, `{"headers": {name: value}, "body": text}`. Prints the address it listens on.
 */
const { headers, body }: { headers: Record<string, string>; body: string } = JSON.parse(process.argv[2] ?? '');
const raw = Object.entries(headers).flat();
const server = createServer((_request, response) => {
  response.writeHead(200, raw);
  response.end(body);
});
server.keepAliveTimeout = 65_000;
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object') console.log(JSON.stringify({ address: `127.0.0.1:${address?.port}` }));
});
