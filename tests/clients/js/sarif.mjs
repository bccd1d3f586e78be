// SARIF by `bulla`, judged by the validator of the format's makers: by the schema, and by the rules that the schema cannot say.
//
//     node sarif.mjs MODULES verify DIR       MODULES holds node_modules, DIR the files *.sarif

import { spawnSync } from 'node:child_process';
import { chmodSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, shown } from './tap.mjs';

const [modules, , folder] = process.argv.slice(2);
const validator = join(modules, 'node_modules/@microsoft/sarif-multitool-linux/Sarif.Multitool');
// It comes without the bit.
chmodSync(validator, 0o755);

// The errors that the validator finds, a line each.
function errors(file) {
  const log = join(folder, 'validated.json');
  const words = ['validate', file, '--output', log, '--log', 'ForceOverwrite', '--quiet', 'true'];
  const env = { ...process.env, DOTNET_SYSTEM_GLOBALIZATION_INVARIANT: '1' };
  const done = spawnSync(validator, words, { env, timeout: 120000, encoding: 'utf8' });
  expect(done.status === 0, `ended with ${done.status}: ${done.stdout}${done.stderr}`);
  const [run] = JSON.parse(readFileSync(log)).runs;
  return (run.results ?? []).filter(({ level }) => level === 'error').map(({ ruleId, message }) => `${ruleId} ${message.arguments}`);
}

const files = readdirSync(folder).filter((name) => name.endsWith('.sarif'));
for (const name of files) {
  await shown(`SARIF Multitool: ${name} has no errors`, () => {
    const found = errors(join(folder, name));
    expect(found.length === 0, found.join('; '));
  });
}
await shown('SARIF Multitool: a member that there is not is an error', () => {
  expect(files.length > 0, 'no files');
  const broken = JSON.parse(readFileSync(join(folder, files[0])));
  broken.runs[0].tool.driver.nothing = 1;
  const file = join(folder, 'broken.json.sarif');
  writeFileSync(file, JSON.stringify(broken));
  expect(errors(file).some((error) => error.startsWith('JSON1005')), 'it was not found');
});
