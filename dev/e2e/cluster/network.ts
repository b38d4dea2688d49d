import { run } from '../run.ts';

/** All of these exist in the network namespace of the run only. */
export const nodeAddress = '10.250.0.1';
export const podSubnet = '10.244.0.0/24';
export const serviceSubnet = '10.96.0.0/16';
export const clusterDomain = 'cluster.local';

/** Loopback, an address that Pods reach, and a route by which the node's own processes reach Services. */
export async function raiseNetwork(): Promise<void> {
  for (const command of [
    'link set lo up',
    `address add ${nodeAddress}/32 dev lo`,
    `route add ${serviceSubnet} dev lo src ${nodeAddress}`,
  ]) {
    await run('ip', command.split(' '));
  }
}
