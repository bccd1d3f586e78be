// Servers that are not ours: the certificate authority, the certificate log, the v1 log and the timestamp authority of
// @sigstore/mock, served over HTTP as they are. `bulla sign` signs there; our verifier and @sigstore/verify judge what comes of it.
//
//     BULLA_BINARY=bulla node foreign.mjs MODULES sign DIR
//
// What the mock leaves out is added on the way, as servers in the field have it: an entry is named by its leaf hash, not at
// random, and the timestamp authority is asked in DER, gives the nonce back, and counts whole seconds, since the crates that
// judge timestamps for us (sigstore-tsa, der) read no fractions.

import { spawn } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

import { expect, rejection, shown } from './tap.mjs';

const [modules, , folder] = process.argv.slice(2);
const require = createRequire(join(resolve(modules), 'package.json'));
const mock = require('@sigstore/mock');
const { bundleFromJSON } = require('@sigstore/bundle');
const { TrustedRoot } = require('@sigstore/protobuf-specs');
const { toSignedEntity, toTrustMaterial, Verifier } = require('@sigstore/verify');
const requireOfMock = createRequire(require.resolve('@sigstore/mock'));
const pkijs = requireOfMock('pkijs');

const place = join(folder, 'foreign');
mkdirSync(place, { recursive: true });
const began = new Date(Date.now() - 60_000).toISOString();
const pair = () => generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
// The host that the log signs under, whatever the address that it is reached at.
const LOG = 'https://rekor.mock';
const ct = await mock.initializeCTLog(pair());
const ca = await mock.initializeCA(pair(), ct);
const log = await mock.initializeTLog(LOG, pair());
const tsa = await mock.initializeTSA(pair());
const handlers = [mock.fulcioHandler(ca), mock.rekorHandler(log)];

tsa.getCurrentTime = () => new Date(Math.floor(Date.now() / 1000) * 1000);
const info = tsa.tstInfo.bind(tsa);
tsa.tstInfo = (asked) => Object.assign(info({ ...asked, nonce: 0 }), { nonce: asked.nonce });

async function stamp(body) {
  const asked = pkijs.TimeStampReq.fromBER(body);
  return tsa.timestamp({
    artifactHash: Buffer.from(asked.messageImprint.hashedMessage.valueBlock.valueHexView),
    hashAlgorithmOID: asked.messageImprint.hashAlgorithm.algorithmId,
    nonce: asked.nonce,
    policyOID: '1.3.6.1.4.1.57264.2',
    certReq: asked.certReq,
  });
}

let requests = 0;
const server = createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', async () => {
    requests += 1;
    const body = Buffer.concat(parts);
    if (request.url === '/api/v1/timestamp') {
      response.writeHead(201, { 'content-type': 'application/timestamp-reply' }).end(await stamp(body));
      return;
    }
    const handler = handlers.find((handler) => handler.path === request.url && request.method === 'POST');
    if (!handler) return response.writeHead(404).end();
    const answer = await handler.fn(body.toString());
    const headers = { 'content-type': answer.contentType ?? 'text/plain' };
    let text = answer.response;
    if (request.url === '/api/v1/log/entries' && answer.statusCode === 201) {
      const [entry] = Object.values(JSON.parse(text));
      const leaf = createHash('sha256').update(Buffer.from([0])).update(Buffer.from(entry.body, 'base64')).digest('hex');
      text = JSON.stringify({ [leaf]: entry });
      Object.assign(headers, { etag: leaf, location: `/api/v1/log/entries/${leaf}` });
    }
    response.writeHead(answer.statusCode, headers).end(text);
  });
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const url = `http://127.0.0.1:${server.address().port}`;

const base64 = (bytes) => Buffer.from(bytes).toString('base64');
const key = (spki) => ({ rawBytes: base64(spki), keyDetails: 'PKIX_ECDSA_P256_SHA_256', validFor: { start: began } });
const logOf = (baseUrl, spki) => ({
  baseUrl, hashAlgorithm: 'SHA2_256', publicKey: key(spki),
  logId: { keyId: createHash('sha256').update(spki).digest('base64') },
});
const authority = (uri, chain) => ({
  uri, subject: { organization: 'sigstore.mock', commonName: 'mock' }, validFor: { start: began },
  certChain: { certificates: chain.map((der) => ({ rawBytes: base64(der) })) },
});
const root = {
  mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
  tlogs: [logOf(LOG, log.publicKey)],
  ctlogs: [logOf('https://ct.mock', ct.publicKey)],
  certificateAuthorities: [authority('https://fulcio.mock', [ca.rootCertificate])],
  timestampAuthorities: [authority('https://tsa.mock', [tsa.intCertificate, tsa.rootCertificate])],
};
const service = (path) => [{ url: url + path, majorApiVersion: 1, validFor: { start: began }, operator: 'mock' }];
const config = (more) => ({
  mediaType: 'application/vnd.dev.sigstore.signingconfig.v0.2+json',
  caUrls: service(''), oidcUrls: [], rekorTlogUrls: service(''), rekorTlogConfig: { selector: 'ANY' }, ...more,
});
const file = (name) => join(place, name);
writeFileSync(file('trusted_root.json'), JSON.stringify(root));
writeFileSync(file('config.json'), JSON.stringify(config({})));
writeFileSync(file('config-tsa.json'), JSON.stringify(config({ tsaUrls: service('/api/v1/timestamp'), tsaConfig: { selector: 'ANY' } })));

// Beside the server, which must go on answering.
function bulla(...words) {
  return new Promise((done) => {
    const child = spawn(process.env.BULLA_BINARY ?? 'bulla', words, { env: { ...process.env, XDG_STATE_HOME: file('state') } });
    let said = '';
    child.stdout.on('data', (part) => (said += part));
    child.stderr.on('data', (part) => (said += part));
    child.on('close', (code) => done({ code, said }));
  });
}

async function succeeds(...words) {
  const { code, said } = await bulla(...words);
  expect(code === 0, `bulla ${words[0]} ended with ${code}: ${said}`);
  return said;
}

const artifact = join(folder, 'artifact');
const token = join(folder, 'token');
const claims = JSON.parse(Buffer.from(readFileSync(token).toString().split('.')[1], 'base64url'));
const who = ['--certificate-identity', claims.sub, '--certificate-oidc-issuer', claims.iss];
const trust = ['--trusted-root', file('trusted_root.json')];

for (const [name, what] of [['config', ''], ['config-tsa', ', and a timestamp']]) {
  const bundle = file(`${name}.bundle.json`);
  await shown(`bulla sign: a certificate and an entry of @sigstore/mock${what}`, () =>
    succeeds('sign', artifact, '--signing-config', file(`${name}.json`), ...trust, '--identity-token', token, '--bundle', bundle));
  await shown('bulla verify believes it under the keys of the mock', async () => {
    const before = requests;
    await succeeds('verify', artifact, '--bundle', bundle, '--offline', ...trust, ...who);
    expect(requests === before, 'offline, it asked');
  });
  await shown('bulla verify refuses another identity', async () => {
    const { code, said } = await bulla('verify', artifact, '--bundle', bundle, ...trust, '--certificate-identity', 'mallory', who[2], who[3]);
    expect(code === 1, `ended with ${code}: ${said}`);
  });
  const judge = (bytes, policy) => {
    const verifier = new Verifier(toTrustMaterial(TrustedRoot.fromJSON(root)));
    verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(readFileSync(bundle))), bytes), policy);
  };
  const policy = { subjectAlternativeName: claims.sub, extensions: { issuer: claims.iss } };
  await shown('@sigstore/verify believes it too, and not over other bytes', async () => {
    judge(readFileSync(artifact), policy);
    await rejection((async () => judge(Buffer.from('other'), policy))());
  });
}
await shown('bulla verify does not believe it under our own keys', async () => {
  const { code, said } = await bulla('verify', artifact, '--bundle', file('config.bundle.json'), '--trusted-root', join(folder, 'trusted_root.json'), ...who);
  expect(code === 1, `ended with ${code}: ${said}`);
});
await shown('bulla sign refuses an entry that the mock did not sign with the key that is trusted', async () => {
  const other = { ...root, tlogs: [logOf(LOG, (await mock.initializeTLog(LOG, pair())).publicKey)] };
  writeFileSync(file('other_root.json'), JSON.stringify(other));
  const { code, said } = await bulla('sign', artifact, '--signing-config', file('config.json'), '--trusted-root', file('other_root.json'),
    '--identity-token', token, '--bundle', file('none.json'));
  expect(code === 1 && said.includes('the trusted root has'), `ended with ${code}: ${said}`);
});
server.close();
