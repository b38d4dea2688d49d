// `tool.mjs PAGE DIRECTORY`: a tool for test/tools/node.test.ts. PAGE is a module with code of docs/tools/node.md.
import { createInterface } from 'node:readline';

const [page, directory] = process.argv.slice(2);
const { clientAssertion, lti, ltiTool } = await import(page);
const issuer = 'https://canvas.instructure.com';
const clientId = '10000000000042';
let requests = 0;

async function requestWithLtijs() {
  const platform = await lti.getPlatform(issuer, clientId);
  // ltijs keeps an access token for each scope.
  await platform.platformAccessToken(`scope-${requests++}`).catch((error) => {
    if (error.response === undefined) throw error;
  });
  return 'requested';
}

function responseOfLtijs() {
  const deepLinkingSettings = { accept_types: ['link'], data: 'csrf' };
  const idToken = { iss: issuer, clientId, deploymentId: '1:abc', platformContext: { deepLinkingSettings } };
  return lti.DeepLinking.createDeepLinkingMessage(idToken, [{ type: 'link', url: 'https://tool.example.org' }], {});
}

const session = {
  platform: { issuer, clientId, deploymentId: '1:abc' },
  services: { ags: { lineitem: 'https://lms.example.org/lineitem' }, deepLinking: { returnUrl: issuer, data: 'csrf' } },
};

async function requestWithLtiTool() {
  await ltiTool()
    .getScores(session)
    .catch((error) => {
      if (!error.message.includes('Token request failed: 401')) throw error;
    });
  return 'requested';
}

async function responseOfLtiTool() {
  const items = [{ type: 'link', url: 'https://tool.example.org' }];
  const form = await ltiTool().createDeepLinkingResponse(session, items);
  return /name="JWT" value="([^"]+)"/.exec(form)[1];
}

const actions = ltiTool
  ? { assertion: requestWithLtiTool, response: responseOfLtiTool }
  : { assertion: lti ? requestWithLtijs : () => clientAssertion(directory), response: responseOfLtijs };
for await (const line of createInterface(process.stdin)) console.log(await actions[line]());
