// sigstore-js against our log, with its own classes and nothing replaced in them: the whole signing flow, its log
// witness alone, and its verifier over every client's bundles. The same script runs under the current major and the
// previous one; both post DSSE as `dsseRequestV002`, which the log keeps as a hashedrekord over the PAE.
//
//     node sigstore_client.mjs MODULES sign|verify DIR       MODULES holds node_modules, DIR is the shared folder

import { createHash, generateKeyPairSync, sign as signBytes } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

import { expect, rejection, shown } from './tap.mjs';

const [modules, verb, folder] = process.argv.slice(2);
const require = createRequire(join(resolve(modules), 'package.json'));
const { bundleFromJSON, bundleToJSON } = require('@sigstore/bundle');
const { SigningConfig, TrustedRoot } = require('@sigstore/protobuf-specs');
const { bundleBuilderFromSigningConfig, RekorWitness } = require('@sigstore/sign');
const { toSignedEntity, toTrustMaterial, Verifier } = require('@sigstore/verify');

// The package does not export its own manifest, so it is read from the disk.
const version = (name) => JSON.parse(readFileSync(join(modules, 'node_modules', name, 'package.json'))).version;
const NAME = `sigstore-js-${version('@sigstore/sign')}`;
// Up to 3.1 the verifier compares a hashedrekord's digest with the payload, not with what was signed (the PAE).
const WANTS_PAYLOAD_DIGEST = parseInt(version('@sigstore/verify')) < 4;
const IDENTITY = 'alice@example.org';
const { ISSUER } = process.env;

const read = (name) => readFileSync(join(folder, name));
const json = (name) => JSON.parse(read(name));
const artifact = read('artifact');
const signingConfig = SigningConfig.fromJSON(json('signing_config.json'));
const verifier = new Verifier(toTrustMaterial(TrustedRoot.fromJSON(json('trusted_root.json'))));

function verify(bundle, attestation) {
  const entity = attestation ? toSignedEntity(bundle) : toSignedEntity(bundle, artifact);
  verifier.verify(entity, { subjectAlternativeName: IDENTITY, extensions: { issuer: ISSUER } });
}

async function sign(bundleType) {
  const identityProvider = { getToken: async () => read('token').toString() };
  const builder = bundleBuilderFromSigningConfig({ signingConfig, identityProvider, bundleType });
  return builder.create(
    bundleType === 'dsseEnvelope'
      ? { data: read('statement.json'), type: 'application/vnd.in-toto+json' }
      : { data: artifact }
  );
}

async function signAll() {
  await shown('signs a blob and its own verifier accepts the bundle', async () => {
    const bundle = await sign('messageSignature');
    writeBundle('blob', bundle);
    verify(bundle, false);
  });
  const accepted = WANTS_PAYLOAD_DIGEST ? '' : ' and its own verifier accepts the bundle';
  await shown(`signs an attestation (dsseRequestV002, logged as hashedrekord)${accepted}`, async () => {
    const bundle = await sign('dsseEnvelope');
    writeBundle('dsse', bundle);
    const { kind, version } = bundle.verificationMaterial.tlogEntries[0].kindVersion;
    expect(kind === 'hashedrekord' && version === '0.0.2', `logged as ${kind} ${version}`);
    if (!WANTS_PAYLOAD_DIGEST) verify(bundle, true);
  });
  await shown('witness alone: an entry, and the same again is 409', async () => {
    const data = Buffer.from(`logged by ${NAME} alone`);
    const certificate = bundleFromJSON(json(`bundles/${NAME}.blob.json`)).verificationMaterial.content;
    const witness = new RekorWitness({
      rekorBaseURL: signingConfig.rekorTlogUrls[0].url, majorApiVersion: 2, retry: false,
    });
    const [content, pem] = [json(`bundles/${NAME}.blob.json`).messageSignature, toPEM(certificate)];
    const error = await rejection(witness.testify(messageSignature(content), pem));
    expect(error.cause?.statusCode === 409, `expected 409 for what the log already holds, got ${error.cause ?? error}`);
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const wrong = { messageDigest: { digest: createHash('sha256').update(data).digest() }, signature: signBytes('sha256', data, privateKey) };
    const refused = await rejection(witness.testify({ $case: 'messageSignature', messageSignature: wrong }, pem));
    expect(refused.cause?.statusCode === 400, `expected 400 for another key's signature, got ${refused.cause ?? refused}`);
  });
}

function messageSignature({ messageDigest, signature }) {
  const bytes = (text) => Buffer.from(text, 'base64');
  return {
    $case: 'messageSignature',
    messageSignature: { messageDigest: { digest: bytes(messageDigest.digest) }, signature: bytes(signature) },
  };
}

function toPEM(content) {
  const der = content.certificate ?? content.x509CertificateChain.certificates[0];
  return `-----BEGIN CERTIFICATE-----\n${der.rawBytes.toString('base64').match(/.{1,64}/g).join('\n')}\n-----END CERTIFICATE-----\n`;
}

function writeBundle(kind, bundle) {
  writeFileSync(join(folder, 'bundles', `${NAME}.${kind}.json`), JSON.stringify(bundleToJSON(bundle)));
}

async function verifyAll() {
  for (const file of readdirSync(join(folder, 'bundles')).sort()) {
    const [name, attestation] = [file.replace(/\.json$/, ''), file.endsWith('.dsse.json')];
    const bundle = bundleFromJSON(json(`bundles/${file}`));
    if (attestation && WANTS_PAYLOAD_DIGEST) {
      await shown(`refuses ${name}, wanting the payload's digest, as from any server since rekor-tiles 2.3`, async () => {
        const error = await rejection((async () => verify(bundle, true))());
        expect(error.code === 'TLOG_BODY_ERROR', `${error.code}: ${error.message}`);
      });
    } else {
      await shown(`verifies ${name}`, async () => verify(bundle, attestation));
    }
  }
}

await (verb === 'sign' ? signAll() : verifyAll());
