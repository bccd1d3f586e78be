// sigstore-js against the v1 door, with its own classes and nothing replaced in them: the whole signing flow with a promise,
// its log witness alone for each kind it knows and both answers to a conflict, its command line, and its verifier over the
// v1 bundles of every client. The same script runs under both majors.
//
//     node sigstore_v1.mjs MODULES sign|verify DIR       MODULES holds node_modules, DIR is the shared folder

import { spawnSync } from 'node:child_process';
import { createHash, createPublicKey, generateKeyPairSync, sign as signBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

import { expect, rejection, shown } from './tap.mjs';

const [modules, verb, folder] = process.argv.slice(2);
const require = createRequire(join(resolve(modules), 'package.json'));
const { bundleFromJSON, bundleToJSON } = require('@sigstore/bundle');
const { SigningConfig, TrustedRoot } = require('@sigstore/protobuf-specs');
const { bundleBuilderFromSigningConfig, DSSEBundleBuilder, FulcioSigner, MessageSignatureBundleBuilder, RekorWitness, TSAWitness } =
  require('@sigstore/sign');
const { toSignedEntity, toTrustMaterial, Verifier } = require('@sigstore/verify');

const version = (name) => JSON.parse(readFileSync(join(modules, 'node_modules', name, 'package.json'))).version;
const NAME = `sigstore-js-${version('@sigstore/sign')}`;
const IDENTITY = 'alice@example.org';
const { ISSUER } = process.env;
const TYPE = 'application/vnd.in-toto+json';

const read = (name) => readFileSync(join(folder, name));
const json = (name) => JSON.parse(read(name));
const [artifact, statement] = [read('artifact'), read('statement.json')];
const config = (name) => SigningConfig.fromJSON(json(name));
const identityProvider = { getToken: async () => read('token').toString() };
// Who signs with a key of their own hands the key out; the bundle hints at it by name.
const handedOut = (hint) => ({ publicKey: createPublicKey(read(`keys/${hint}.pub`)), validFor: () => true });
const verifier = new Verifier(toTrustMaterial(TrustedRoot.fromJSON(json('trusted_root.json')), handedOut));
const [rekor] = config('signing_config_v1.json').rekorTlogUrls;
const [ca] = config('signing_config_v1.json').caUrls;

function verify(bundle, attestation) {
  const entity = attestation ? toSignedEntity(bundle) : toSignedEntity(bundle, artifact);
  const certified = bundle.verificationMaterial.content.$case !== 'publicKey';
  verifier.verify(entity, certified ? { subjectAlternativeName: IDENTITY, extensions: { issuer: ISSUER } } : undefined);
}

// What a v1 log gives: the kind, a promise, a proof with a checkpoint, a time.
function check(bundle, kind, version, timestamps) {
  const { tlogEntries: [entry], timestampVerificationData } = bundle.verificationMaterial;
  expect(entry.kindVersion.kind === kind && entry.kindVersion.version === version, `logged as ${JSON.stringify(entry.kindVersion)}`);
  expect(entry.inclusionPromise.signedEntryTimestamp.length > 0, 'no promise');
  expect(entry.inclusionProof.checkpoint.envelope.includes(' - '), 'no v1 checkpoint');
  expect(Math.abs(Number(entry.integratedTime) - Date.now() / 1000) < 60, `time ${entry.integratedTime}`);
  const stamps = timestampVerificationData?.rfc3161Timestamps.length ?? 0;
  expect(stamps === timestamps, `${stamps} timestamps`);
}

function keep(kind, bundle) {
  writeFileSync(join(folder, 'bundles-v1', `${NAME}.${kind}.json`), JSON.stringify(bundleToJSON(bundle)));
}

async function sign(name, kind) {
  const attests = kind === 'dsse';
  const bundleType = attests ? 'dsseEnvelope' : 'messageSignature';
  const builder = bundleBuilderFromSigningConfig({ signingConfig: config(name), identityProvider, bundleType });
  return builder.create(attests ? { data: statement, type: TYPE } : { data: artifact });
}

async function signAll() {
  for (const [name, timestamps, label] of [['signing_config_v1.json', 1, ''], ['signing_config_v1_notsa.json', 0, ', without timestamps']]) {
    for (const kind of ['hashedrekord', 'dsse']) {
      await shown(`signs as ${kind} with a promise${label}, and its own verifier accepts the bundle`, async () => {
        const bundle = await sign(name, kind);
        check(bundle, kind, '0.0.1', timestamps);
        keep(`${kind}${timestamps ? '' : '-notsa'}${kind === 'dsse' ? '.dsse' : ''}`, bundle);
        verify(bundle, kind === 'dsse');
      });
    }
  }
  await shown('signs as intoto 0.0.2, as its predecessors did, and its own verifier accepts the bundle', async () => {
    const signer = new FulcioSigner({ fulcioBaseURL: ca.url, identityProvider });
    const witness = new RekorWitness({ rekorBaseURL: rekor.url, entryType: 'intoto' });
    const bundle = await new DSSEBundleBuilder({ signer, witnesses: [witness], certificateChain: true }).create({ data: statement, type: TYPE });
    check(bundle, 'intoto', '0.0.2', 0);
    keep('intoto.dsse', bundle);
    verify(bundle, true);
  });
  await shown('signs with a key of its own and no certificate, and its own verifier accepts the bundles', bareKey);
  for (const entryType of ['dsse', 'intoto']) {
    for (const kind of ['messageSignature', 'dsseEnvelope']) {
      if (kind === 'messageSignature' && entryType === 'intoto') continue;
      const logged = kind === 'messageSignature' ? 'hashedrekord' : entryType;
      await shown(`witness alone, ${logged}: 409 is fetched by its Location, or an error without fetchOnConflict; 400 says why`, () => conflict(kind, entryType));
    }
  }
  if (existsSync(join(modules, 'node_modules/@sigstore/cli'))) {
    await shown(`@sigstore/cli ${version('@sigstore/cli')}: attest logs intoto 0.0.2, and the verifier accepts the bundle`, commandLine);
  }
}

async function bareKey() {
  const hint = `${NAME}.bare-key`;
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = publicKey.export({ type: 'spki', format: 'pem' });
  mkdirSync(join(folder, 'keys'), { recursive: true });
  writeFileSync(join(folder, 'keys', `${hint}.pub`), pem);
  const sign = async (data) => ({ signature: signBytes('sha256', data, privateKey), key: { $case: 'publicKey', publicKey: pem, hint } });
  const tsaBaseURL = new URL(config('signing_config_v1.json').tsaUrls[0].url).origin;
  const witnesses = [new RekorWitness({ rekorBaseURL: rekor.url, entryType: 'dsse' }), new TSAWitness({ tsaBaseURL })];
  const blob = await new MessageSignatureBundleBuilder({ signer: { sign }, witnesses }).create({ data: artifact });
  const attestation = await new DSSEBundleBuilder({ signer: { sign }, witnesses }).create({ data: statement, type: TYPE });
  check(blob, 'hashedrekord', '0.0.1', 1);
  check(attestation, 'dsse', '0.0.1', 1);
  keep('bare-key', blob);
  keep('bare-key.dsse', attestation);
  verify(blob, false);
  verify(attestation, true);
}

function pae(type, payload) {
  return Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]);
}

async function conflict(kind, entryType) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = publicKey.export({ type: 'spki', format: 'pem' });
  const data = Buffer.from(`${statement}`);
  const content = (key) =>
    kind === 'messageSignature'
      ? { $case: kind, messageSignature: { messageDigest: { digest: createHash('sha256').update(data).digest() }, signature: signBytes('sha256', data, key) } }
      : { $case: kind, dsseEnvelope: { payload: data, payloadType: TYPE, signatures: [{ keyid: '', sig: signBytes('sha256', pae(TYPE, data), key) }] } };
  const witness = (fetchOnConflict) => new RekorWitness({ rekorBaseURL: rekor.url, entryType, fetchOnConflict, retry: false });
  const mine = content(privateKey);
  const { tlogEntries: [first] } = await witness(false).testify(mine, pem);
  const { tlogEntries: [fetched] } = await witness(true).testify(mine, pem);
  expect(fetched.logIndex === first.logIndex, `fetched ${fetched.logIndex}, logged ${first.logIndex}`);
  expect(fetched.canonicalizedBody.equals(first.canonicalizedBody), 'another body');
  const refused = await rejection(witness(false).testify(mine, pem));
  expect(refused.code === 'TLOG_CREATE_ENTRY_ERROR' && refused.cause?.statusCode === 409, `${refused.cause ?? refused}`);
  expect(refused.cause.message.includes('an equivalent entry already exists'), refused.cause.message);
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const wrong = await rejection(witness(true).testify(content(other), pem));
  expect(wrong.cause?.statusCode === 400, `expected 400 for another key's signature, got ${wrong.cause ?? wrong}`);
}

function commandLine() {
  const out = join(folder, 'cli.json');
  const environment = { ...process.env, CI: 'true', SIGSTORE_ID_TOKEN: read('token').toString() };
  const done = spawnSync(process.execPath, [
    join(modules, 'node_modules/@sigstore/cli/bin/run'), 'attest', join(folder, 'statement.json'), '--payload-type', TYPE,
    '--fulcio-url', ca.url, '--rekor-url', rekor.url, '--tsa-server-url', ca.url, '--output-file', out,
  ], { env: environment, encoding: 'utf8' });
  expect(done.status === 0, `ended with ${done.status}: ${done.stdout} ${done.stderr}`);
  const bundle = bundleFromJSON(JSON.parse(readFileSync(out)));
  const { kind, version } = bundle.verificationMaterial.tlogEntries[0].kindVersion;
  expect(kind === 'intoto' && version === '0.0.2', `logged as ${kind} ${version}`);
  keep('cli.dsse', bundle);
  verify(bundle, true);
}

async function verifyAll() {
  for (const file of readdirSync(join(folder, 'bundles-v1')).sort()) {
    const [name, attestation] = [file.replace(/\.json$/, ''), file.endsWith('.dsse.json')];
    await shown(`verifies ${name}`, async () => verify(bundleFromJSON(json(`bundles-v1/${file}`)), attestation));
  }
}

mkdirSync(join(folder, 'bundles-v1'), { recursive: true });
await (verb === 'sign' ? signAll() : verifyAll());
