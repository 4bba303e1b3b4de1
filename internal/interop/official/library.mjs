// The official library, loaded from the node_modules folder of the directory
// that the first argument names (default: beside this file). Only the public
// API of the package is called.
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const name = '@signalapp/libsignal-client';
const here = dirname(fileURLToPath(import.meta.url));
const home = join(resolve(process.argv[2] || here), 'node_modules', ...name.split('/'));

async function load() {
  let manifest;
  try {
    manifest = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  } catch {
    throw new Error(`${name} is not installed in ${dirname(dirname(dirname(home)))}`);
  }
  const module = await import(pathToFileURL(join(home, manifest.main)).href);
  return { version: manifest.version, lib: module.PublicKey ? module : module.default };
}

// part loads another module of the package, by its name in the package's dist.
export const part = (module) => import(pathToFileURL(join(home, 'dist', `${module}.js`)).href);

export let version = '';
export let lib;
export let missing = '';
try {
  ({ version, lib } = await load());
} catch (e) {
  missing = String(e.message);
}

// since says whether the loaded version is at least major.minor.
export function since(major, minor) {
  const [a, b] = version.split('.').map(Number);
  return a > major || (a === major && b >= minor);
}
