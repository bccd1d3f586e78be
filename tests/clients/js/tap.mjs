// One line for each thing shown, in TAP's words; the runner counts them.

export async function shown(what, block) {
  try {
    await block();
    console.log(`ok - ${what}`);
  } catch (error) {
    const causes = [];
    for (let e = error; e; e = e.cause) causes.push(`${e.code ?? e.name}: ${e.message}`);
    console.log(`not ok - ${what}: ${causes.join(', because ').replace(/\s+/g, ' ')}`);
    process.exitCode = 1;
  }
}

export function expect(condition, otherwise) {
  if (!condition) throw new Error(otherwise);
}

export async function rejection(promise) {
  const error = await promise.then(() => undefined, (error) => error);
  expect(error, 'expected a refusal, got an answer');
  return error;
}
