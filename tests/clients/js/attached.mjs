// @sigstore/oci beside us at one registry: it attaches a bundle to an image, and what we attached stays in its list.
//
//     node attached.mjs MODULES attach DIR      DIR/image names an image, DIR/image-bundle.json is a bundle about it

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

import { expect, shown } from './tap.mjs';

const [modules, , folder] = process.argv.slice(2);
const require = createRequire(join(resolve(modules), 'package.json'));
const { attachArtifactToImage, getImageDigest } = require('@sigstore/oci');

const [imageName, imageTag] = readFileSync(join(folder, 'image')).toString().trim().split(/:(?=[^/]*$)/);
const mediaType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const registry = `http://${imageName.split('/')[0]}/v2/${imageName.split('/').slice(1).join('/')}`;
const accept = 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json';

async function get(path) {
  const answer = await fetch(`${registry}/${path}`, { headers: { accept } });
  expect(answer.ok, `${path}: ${answer.status}`);
  return answer;
}

const referrers = async (digest) => (await (await get(`manifests/${digest.replace(':', '-')}`)).json()).manifests;

await shown('@sigstore/oci attaches a bundle beside those that bulla attached', async () => {
  const imageDigest = await getImageDigest({ imageName, imageTag });
  const before = await referrers(imageDigest);
  expect(before.length > 0, 'bulla attached nothing');
  const artifact = readFileSync(join(folder, 'image-bundle.json'));
  const attached = await attachArtifactToImage({
    artifact, mediaType, imageName, imageDigest,
    annotations: { 'dev.sigstore.bundle.content': 'dsse-envelope', 'dev.sigstore.bundle.predicateType': 'https://sigstore.dev/cosign/sign/v1' },
  });
  const after = await referrers(imageDigest);
  expect(after.length === before.length + 1, `${before.length} became ${after.length}`);
  expect(before.every((one) => after.some((other) => other.digest === one.digest)), 'one of ours was lost');
  writeFileSync(join(folder, 'attached-digest'), attached.digest);
});
await shown('what bulla attached reads as what @sigstore/oci attaches', async () => {
  const imageDigest = await getImageDigest({ imageName, imageTag });
  const theirs = readFileSync(join(folder, 'attached-digest')).toString();
  const shape = async (digest) => {
    const { annotations, layers, ...rest } = await (await get(`manifests/${digest}`)).json();
    const names = Object.keys(annotations).sort();
    return JSON.stringify({ ...rest, names, layers: layers.map((layer) => layer.mediaType) }, (_, value) =>
      value && typeof value === 'object' && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).sort()) : value);
  };
  const listed = (await referrers(imageDigest)).filter((one) => one.artifactType === mediaType && one.digest !== theirs);
  expect(listed.length > 0, 'no bundle of ours is in the list');
  const expected = await shape(theirs);
  for (const one of listed) {
    const ours = await shape(one.digest);
    expect(ours === expected, `${ours} is not ${expected}`);
  }
});
