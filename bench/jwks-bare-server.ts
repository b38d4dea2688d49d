import { createServer } from 'node:http';

/**
 * The yardstick: node:http and nothing else, in its fastest use, answering every request with what its first argument
 * says, `{"status": code, "headers": {name: value}, "body": text}`. Prints the address it listens on.
 */
interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const { status, headers, body }: Answer = JSON.parse(process.argv[2] ?? '');
const raw = Object.entries(headers).flat();
const server = createServer((_request, response) => {
  response.writeHead(status, raw);
  response.end(body);
});
server.keepAliveTimeout = 65_000;
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object') console.log(JSON.stringify({ address: `127.0.0.1:${address?.port}` }));
});
