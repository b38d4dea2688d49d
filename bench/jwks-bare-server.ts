import { createServer } from 'node:http';

/**
 * The baseline: a plain node:http server in its fastest use. It answers every request with the JSON of its first argument,
 * `{"status": code, "headers": {name: value}, "body": text}`, and prints the address that it listens on.
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
