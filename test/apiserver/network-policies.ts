import type { Manifest } from './rendered.ts';

/** What the NetworkPolicies of a rendering allow, evaluated as the API reference says. */

interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>;
}

interface Peer {
  readonly podSelector?: Selector;
  readonly namespaceSelector?: Selector;
  readonly ipBlock?: { readonly cidr: string };
}

interface Port {
  readonly port?: number | string;
  readonly endPort?: number;
  readonly protocol?: string;
}

interface Rule {
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
  readonly ports?: readonly Port[];
}

interface Spec {
  readonly podSelector: Selector;
  readonly policyTypes: readonly ('Ingress' | 'Egress')[];
  readonly ingress?: readonly Rule[];
  readonly egress?: readonly Rule[];
}

export interface Pod {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The ports of its containers by their names. */
  readonly ports?: Readonly<Record<string, number>>;
}

/** A Pod, or an address of no Pod: a node, an API server, the world. */
export type End = Pod | { readonly address: string };

export interface Connection {
  readonly from: End;
  readonly to: End;
  readonly port: number;
  readonly protocol?: 'TCP' | 'UDP';
}

/** Both ends have to allow it. */
export function allows(rendered: readonly Manifest[], connection: Connection): boolean {
  const policies = rendered.filter(({ kind }) => kind === 'NetworkPolicy');
  const { from, to } = connection;
  return permits(policies, 'Egress', from, to, connection) && permits(policies, 'Ingress', to, from, connection);
}

function permits(
  policies: readonly Manifest[],
  direction: 'Ingress' | 'Egress',
  subject: End,
  other: End,
  connection: Connection,
): boolean {
  if (!isPod(subject)) return true;
  const selecting = policies.filter(({ metadata, spec }) => {
    const { podSelector, policyTypes } = spec as Spec;
    return metadata.namespace === subject.namespace && policyTypes.includes(direction) && selects(podSelector, subject);
  });
  // Who is selected by no policy may do all; who is selected may do what any of them allows.
  if (selecting.length === 0) return true;
  return selecting.some(({ metadata, spec }) => {
    const { ingress, egress } = spec as Spec;
    const rules = (direction === 'Ingress' ? ingress : egress) ?? [];
    return rules.some(({ from, to, ports }) => {
      const peers = direction === 'Ingress' ? from : to;
      const peerMatches = peers === undefined || peers.some((peer) => isPeer(peer, other, metadata.namespace ?? ''));
      return peerMatches && (ports === undefined || ports.some((port) => isPort(port, connection)));
    });
  });
}

function isPod(end: End): end is Pod {
  return 'labels' in end;
}

function selects({ matchLabels = {}, ...others }: Selector, { labels }: Pick<Pod, 'labels'>): boolean {
  if (Object.keys(others).length > 0) throw new Error('Only matchLabels are evaluated here.');
  return Object.entries(matchLabels).every(([name, value]) => labels[name] === value);
}

function isPeer({ podSelector, namespaceSelector, ipBlock }: Peer, other: End, own: string): boolean {
  if (ipBlock !== undefined) return !isPod(other) && ipBlock.cidr === `${other.address}/32`;
  if (!isPod(other)) return false;
  const name = { labels: { 'kubernetes.io/metadata.name': other.namespace } };
  const namespaceMatches = namespaceSelector ? selects(namespaceSelector, name) : other.namespace === own;
  return namespaceMatches && selects(podSelector ?? {}, other);
}

/** A port's name is that of a container of the Pod that is connected to. */
function isPort(allowed: Port, { to, port, protocol = 'TCP' }: Connection): boolean {
  if ((allowed.protocol ?? 'TCP') !== protocol) return false;
  if (allowed.port === undefined) return true;
  if (typeof allowed.port === 'string') return isPod(to) && to.ports?.[allowed.port] === port;
  return port >= allowed.port && port <= (allowed.endPort ?? allowed.port);
}
