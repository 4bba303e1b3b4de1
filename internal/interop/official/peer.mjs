// JSON lines: one request {id, op, …} a line on stdin, one answer {id, ok, …}
// or {id, error: {name, code, message, operation}} a line on stdout. Requests
// are served one after the other, in the order in which they came, so many may
// be on their way at once. The first line out is {ready, version, node} or
// {missing: reason}. The program ends when stdin does.
import { createInterface } from 'node:readline';
import { version, lib, missing } from './library.mjs';
import { plain } from './hex.mjs';

const ops = {
  version: () => ({ version, node: process.version }),
  batch: async (r) => {
    const results = [];
    for (const q of r.requests) results.push(await answer(q));
    return { results };
  },
};

async function answer(request) {
  try {
    const op = ops[request.op];
    if (!op) throw new TypeError(`no operation ${request.op}`);
    return { ok: true, ...plain(await op(request)) };
  } catch (e) {
    return { error: describe(e) };
  }
}

// describe keeps what a caller can tell errors apart by: the name and number
// of the library's ErrorCode, or the name of a store's own error.
function describe(e) {
  const code = typeof e?.code === 'number' ? e.code : -1;
  const name = lib?.ErrorCode?.[code] ?? e?.name ?? 'Error';
  return { name, code, message: String(e?.message ?? e), operation: e?.operation ?? '' };
}

function write(line) {
  if (!process.stdout.write(JSON.stringify(line) + '\n')) {
    return new Promise((resolve) => process.stdout.once('drain', resolve));
  }
}

if (missing) {
  await write({ missing });
} else {
  // Their classes extend the library's, so they can only be loaded with it.
  for (const module of ['codecs', 'party', 'groups', 'retry', 'sealed', 'fingerprint', 'mac'].map((m) => `./${m}.mjs`)) {
    Object.assign(ops, (await import(module)).ops);
  }
  await write({ ready: true, version, node: process.version });
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    await write({ id: request.id, ...(await answer(request)) });
  }
}
