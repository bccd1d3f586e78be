// @sigstore/cli and the `sigstore` package with nothing but what `bulla up --print-client sigstore-js` says: each printed line is
// run as a shell reads it, the printed snippet as a program reads it, and only the words in capitals are replaced.
//
//     node keyless.mjs MODULES sign DIR       DIR/lines holds what was printed, DIR/token a token, DIR/statement.json what is signed

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

import { expect, rejection, shown } from './tap.mjs';

const [modules, , folder] = process.argv.slice(2);
const require = createRequire(join(resolve(modules), 'package.json'));
const bundle = join(folder, 'keyless-js.json');
const token = readFileSync(join(folder, 'token')).toString();
const replaced = {
  STATEMENT: join(folder, 'statement.json'),
  BUNDLE: bundle,
  WHO: 'alice@example.org',
  TOKEN: token,
};
const text = readFileSync(join(folder, 'lines')).toString();
const [commands, snippet] = text.split(/^\/\/ in a program: .*\n/m);
const home = join(folder, 'home');
mkdirSync(home, { recursive: true });
const env = { ...process.env, HOME: home, XDG_DATA_HOME: home };

// The printed line with that verb, in a shell to which `sigstore` is the program.
function run(verb) {
  const line = commands.split('\n').find((line) => line.includes(`sigstore ${verb} `));
  const asked = line.replace(/(?<![\w/.-])([A-Z]+)(?![\w=/.-])/g, (word) => replaced[word] ?? word);
  const program = join(resolve(modules), 'node_modules/@sigstore/cli/bin/run');
  const script = `sigstore() { '${process.execPath}' '${program}' "$@"; }\n${asked}\n`;
  const done = spawnSync('bash', ['-c', script], { env, encoding: 'utf8' });
  expect(done.status === 0, `${verb} ended with ${done.status}: ${done.stdout} ${done.stderr}`);
}

await shown('@sigstore/cli initialize takes the repository', async () => run('initialize'));
await shown('@sigstore/cli attest signs as the printed line says', async () => run('attest'));
await shown('@sigstore/cli verify takes its trust from the repository', async () => {
  run('verify');
  copyFileSync(bundle, join(folder, 'bundles-v1', 'sigstore-js-keyless.cli.dsse.json'));
});
await shown('the sigstore package signs and verifies with the printed options, and refuses another identity', async () => {
  const { sign, verify } = require('sigstore');
  const here = new Function('TOKEN', `${snippet}; return here`)(token);
  const artifact = readFileSync(join(folder, 'artifact'));
  const signed = await sign(artifact, here);
  const tufCachePath = join(home, 'tuf-of-the-package');
  const who = { certificateIssuer: process.env.ISSUER, certificateIdentityEmail: 'alice@example.org' };
  await verify(signed, artifact, { ...here, ...who, tufCachePath });
  const error = await rejection(verify(signed, artifact, { ...here, ...who, certificateIdentityEmail: 'bob@example.org', tufCachePath }));
  expect(error.message.includes('identity'), error.message);
  writeFileSync(join(folder, 'bundles-v1', 'sigstore-js-keyless.package.json'), JSON.stringify(signed));
});
