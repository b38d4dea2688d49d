import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import type { Command } from 'commander';
import type { LtiKey, LtiRegistration } from '../../api/objects.ts';
import { type ClusterOptions, getRegistration, keysOf } from '../cluster.ts';
import { describedCommand, onCluster, withClusterOptions, withOutput } from '../command.ts';
import { CliError, exitCodes } from '../exit-codes.ts';
import { fetchAsPlatform, type Answer } from '../jwks-fetch.ts';
import { type Check, checkAnswer, checkRevalidation } from '../jwks-checks.ts';
import { formatTable, formatValue, type OutputFormat, toned } from '../output.ts';
import type { Terminal } from '../terminal.ts';

interface VerifyOptions extends ClusterOptions {
  readonly output: OutputFormat;
  readonly url?: string;
}

export function verifyCommand(terminal: Terminal): Command {
  const command = describedCommand({
    usage: 'verify <name>',
    summary: 'Fetch the public JWKS URL as platforms do, and check the answer.',
    details:
      'It checks the address, TLS, redirects, status, content type, caching, size and time of the answer, and that it has every published key and no revoked one. Run it from outside the cluster, where the platforms are. Exits with code 3 if a check fails.',
    examples: [
      ['kubectl lti verify canvas -n gradebook', 'Check the URL that the platform was given'],
      [
        'kubectl lti verify canvas -n gradebook --url https://keys.example.org/k.json',
        'Check another URL for the same keys',
      ],
    ],
  });
  return withOutput(withClusterOptions(command), ['table', 'json', 'yaml'])
    .option('--url <url>', 'Check this URL, not that of the registration.')
    .action(
      onCluster<VerifyOptions>(terminal, async (cluster, options, [name]) => {
        const registration = await getRegistration(cluster, name!);
        const url = options.url ?? registration.status?.jwksURL;
        if (url === undefined) {
          throw new CliError(`${name} has no JWKS URL: start the operator with --jwks-public-url, or give --url`);
        }
        if (!URL.canParse(url)) {
          const message = `${JSON.stringify(url)} is not a URL: give one such as https://keys.example.org/registrations/gradebook/canvas/jwks.json`;
          throw new CliError(message, exitCodes.usage);
        }
        const keys = await keysOf(cluster, name!);
        const checks = await verify(new URL(url), registration, keys, terminal);
        terminal.out(render({ url, checks }, options.output, terminal));
        const failed = checks.filter(({ result }) => result === 'failed').length;
        if (failed > 0) {
          throw new CliError(`${failed} of ${checks.length} checks failed for ${url}`, exitCodes.problemFound);
        }
      }),
    );
}

async function verify(
  url: URL,
  registration: LtiRegistration,
  keys: readonly LtiKey[],
  { clock, signal }: Terminal,
): Promise<readonly Check[]> {
  const address = await checkAddress(url);
  let answer: Answer;
  try {
    answer = await fetchAsPlatform(url, { clock, signal });
  } catch (error) {
    const detail = `${error instanceof Error ? error.message : 'failed'}: platforms get no keys at all`;
    return [...address, { check: 'answer', result: 'failed', detail }];
  }
  return [
    ...address,
    ...checkAnswer(answer, keys, registration.spec.platform ?? 'Other'),
    await checkRevalidation(url, answer, { clock, signal }),
  ];
}

/** Ranges that Moodle's cURL security and Canvas' filter refuse (RFC 1918, 4193, 6890). */
const privateRanges = new BlockList();
for (const [network, prefix] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['100.64.0.0', 10],
] as const) {
  privateRanges.addSubnet(network, prefix);
}
for (const [network, prefix] of [
  ['fc00::', 7],
  ['fe80::', 10],
  ['::1', 128],
] as const) {
  privateRanges.addSubnet(network, prefix, 'ipv6');
}

async function checkAddress({ protocol, hostname, port }: URL): Promise<Check[]> {
  const checks: Check[] = [
    protocol === 'https:'
      ? { check: 'https', result: 'passed', detail: 'the URL is https' }
      : { check: 'https', result: 'failed', detail: 'the URL is not https: LTI requires TLS (Security Framework 1.0)' },
  ];
  checks.push(
    port === ''
      ? { check: 'port', result: 'passed', detail: 'the default port' }
      : { check: 'port', result: 'warning', detail: `port ${port}: Moodle fetches from ports 80 and 443 only` },
  );
  const host = hostname.replaceAll(/^\[|\]$/g, '');
  const addresses = isIP(host) ? [{ address: host }] : await lookup(host, { all: true }).catch(() => []);
  if (addresses.length === 0) {
    return [...checks, { check: 'address', result: 'failed', detail: `${host} has no address in the DNS` }];
  }
  const hidden = addresses.find(({ address }) => privateRanges.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4'));
  checks.push(
    hidden
      ? {
          check: 'address',
          result: 'warning',
          detail: `${host} ${isIP(host) ? 'is a private address' : `has the private address ${hidden.address}`}: platforms outside cannot reach it, and Canvas and Moodle refuse it`,
        }
      : { check: 'address', result: 'passed', detail: `${host} has a public address` },
  );
  return checks;
}

function render(
  report: { readonly url: string; readonly checks: readonly Check[] },
  output: OutputFormat,
  terminal: Terminal,
): string {
  if (output === 'json' || output === 'yaml') return formatValue(output, report);
  const tones = { passed: 'good', warning: 'warning', failed: 'bad' } as const;
  const rows = report.checks.map(({ check, result, detail }) => [
    check,
    toned(terminal, tones[result], result),
    detail,
  ]);
  return `${report.url}\n\n${formatTable(['CHECK', 'RESULT', 'DETAIL'], rows)}`;
}
