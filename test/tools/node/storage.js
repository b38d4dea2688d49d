// The storage of a tool with @lti-tool/core: what a client assertion needs.
import { readFileSync } from 'node:fs';

const [, , , directory] = process.argv;

export const stateSecret = new TextEncoder().encode('stateSecret-of-32-characters-long');

export const storage = {
  async getLaunchConfig(iss, clientId, deploymentId) {
    const registration = JSON.parse(readFileSync(`${directory}/registration.json`, 'utf8'));
    return { iss, clientId, deploymentId, tokenUrl: registration.token_endpoint };
  },
};
