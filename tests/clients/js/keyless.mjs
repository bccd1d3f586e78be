// @sigstore/cli and the `sigstore` package with nothing but what `bulla up --print-client sigstore-js` says: the trust repository,
// signing with an ambient token, and verifying with what the repository hands out.
//
//     node keyless.mjs MODULES sign DIR       DIR/lines holds what was printed, DIR/token a token, DIR/statement.json what is signed

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { expect, shown } from './tap.mjs';

const [modules, , folder] = process.argv.slice(2);
const bundle = join(folder, 'keyless-js.json');
const replaced = {
  STATEMENT: join(folder, 'statement.json'),
  BUNDLE: bundle,
  WHO: 'alice@example.org',
};
const token = readFileSync(join(folder, 'token')).toString();
const lines = readFileSync(join(folder, 'lines')).toString().split('\n');
const home = join(folder, 'home');
mkdirSync(home, { recursive: true });

// The printed line with that verb, run as it stands.
function run(verb) {
  const words = lines.find((line) => line.includes(`sigstore ${verb} `)).split(' ');
  const env = { ...process.env, HOME: home, XDG_DATA_HOME: home };
  while (words[0].includes('=')) {
    const [name, value] = words.shift().split('=');
    env[name] = value === 'TOKEN' ? token : value;
  }
  words.shift();
  const program = join(resolve(modules), 'node_modules/@sigstore/cli/bin/run');
  const done = spawnSync(process.execPath, [program, ...words.map((word) => replaced[word] ?? word)], { env, encoding: 'utf8' });
  expect(done.status === 0, `${verb} ended with ${done.status}: ${done.stdout} ${done.stderr}`);
}

await shown('@sigstore/cli initialize takes the repository', async () => run('initialize'));
await shown('@sigstore/cli attest signs as the printed line says', async () => run('attest'));
await shown('@sigstore/cli verify takes its trust from the repository', async () => run('verify'));
