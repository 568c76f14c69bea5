'use strict';
// Finds what can make an environment: uv first (it is quicker, and fetches a Python where none fits), else a Python.

const { execFile } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const { WINDOWS } = require('./place.js');
const { Failure, PYTHONS } = require('./failures.js');

const OLDEST = [3, 11];
const NEWEST = [3, 14];
const PROBE_MS = 15000;
// Any Python can read this, 2.7 too. Debian leaves `ensurepip` to a package of its own.
const PROBE = `
import sys, struct
try:
    import ensurepip, venv
    pip = 1
except ImportError:
    pip = 0
name = getattr(getattr(sys, "implementation", None), "name", "cpython")
sys.stdout.write("%d %d %d %s %d %d" % (sys.version_info[:3] + (name, struct.calcsize("P") * 8, pip)))
`;

function homeOf() {
  try {
    return os.homedir();
  } catch {
    return null;
  }
}

/** Every file that `name` may mean, in the order of the folders. */
function everywhere(name, folders) {
  // No .bat or .cmd, such as pyenv's on Windows: Node starts those through a shell alone.
  const files = folders.map((folder) => path.join(folder, name + (WINDOWS ? '.exe' : '')));
  return [...new Set(files)].filter((file) => {
    try {
      fs.accessSync(file, fs.constants.X_OK);
      return fs.statSync(file).isFile();
    } catch {
      return false;
    }
  });
}

function folders(env) {
  const listed = (env.PATH || env.Path || '').split(path.delimiter).filter((folder) => folder && path.isAbsolute(folder));
  const home = homeOf();
  // A Mac gives clients that are started from its desktop a short PATH.
  const usual = process.platform === 'darwin' ? ['/opt/homebrew/bin', '/usr/local/bin'] : [];
  const own = home ? [path.join(home, '.local', 'bin'), path.join(home, '.cargo', 'bin')] : [];
  return [...listed, ...own, ...usual];
}

/** What a program prints, or null where it fails or takes too long. */
function ask(file, words, env) {
  return new Promise((resolve) => {
    const options = { env, timeout: PROBE_MS, killSignal: 'SIGKILL', windowsHide: true, cwd: os.tmpdir() };
    try {
      execFile(file, words, options, (error, out) => resolve(error ? null : out.trim()));
    } catch {
      resolve(null); // what is no program to the system at all, it says at once
    }
  });
}

async function findUv(env) {
  for (const file of everywhere('uv', folders(env))) {
    const said = await ask(file, ['--version'], env);
    if (said && /^uv \d/.test(said)) return { kind: 'uv', command: file, version: said };
  }
  return null;
}

/** Why this Python cannot be used; null where it can. `said`: what PROBE printed. */
function unfit(said) {
  const [major, minor, micro, name, bits, pip] = said.split(' ');
  const version = [Number(major), Number(minor)];
  const order = (a, b) => a[0] - b[0] || a[1] - b[1];
  const shown = `${major}.${minor}.${micro}`;
  if (order(version, OLDEST) < 0) return `${shown}, too old`;
  if (order(version, NEWEST) > 0) return `${shown}, too new`;
  if (name !== 'cpython') return `${shown}, which is ${name}`;
  if (bits !== '64') return `${shown} of ${bits} bits`;
  return pip === '1' ? null : `${shown}, without the venv module (on Debian and Ubuntu: apt install python${major}.${minor}-venv)`;
}

/** The first Python that fits, and in `found` what the others lack. */
async function findPython(env, found) {
  const tried = [];
  for (const minor of ['3.13', '3.12', '3.11', '3.14']) {
    tried.push(...everywhere(`python${minor}`, folders(env)).map((file) => [file, []]));
    if (WINDOWS) tried.push(...everywhere('py', folders(env)).map((file) => [file, [`-${minor}`]]));
  }
  for (const name of ['python3', 'python']) tried.push(...everywhere(name, folders(env)).map((file) => [file, []]));
  for (const [file, words] of tried) {
    const said = await ask(file, [...words, '-c', PROBE], env);
    // A shim of pyenv whose version is not there, or the Windows Store's placeholder: it says nothing.
    if (!said) continue;
    const lacks = unfit(said);
    if (lacks === null) return { kind: 'python', command: file, words };
    const line = `${file} ${lacks}`;
    if (!found.includes(line)) found.push(line);
  }
  return null;
}

/** The Python that INTERNVL_MCP_PYTHON names. Throws a Failure where it cannot be used. */
async function namedPython(named, env) {
  const file = path.isAbsolute(named) ? named : everywhere(named.replace(/\.exe$/i, ''), folders(env))[0];
  const said = file && await ask(file, ['-c', PROBE], env);
  const lacks = said ? unfit(said) : 'which does not start';
  if (lacks === null) return { kind: 'python', command: file, words: [] };
  throw new Failure('BAD_PYTHON', `INTERNVL_MCP_PYTHON names ${named}: ${lacks}.`, `Let it name ${PYTHONS}, or unset it.`);
}

/** The ways to make an environment, best first. `found` gathers what was seen and does not do. */
async function* findWays(env, named, found) {
  const mine = named ? await namedPython(named, env) : null;
  const uv = await findUv(env);
  if (uv) yield { ...uv, python: mine ? mine.command : `>=${OLDEST.join('.')},<${NEWEST[0]}.${NEWEST[1] + 1}` };
  // Asking every Python takes time, so only where uv is missing or did not do.
  const python = mine || await findPython(env, found);
  if (python) yield python;
}

module.exports = { findWays };
