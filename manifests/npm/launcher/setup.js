'use strict';
// The set-up, as a process of its own: it goes on when the client that wanted it goes away.
//
// Arguments: the token of the lock that it holds. It tells how far it is in the lock, and what went wrong in a file.

const { spawn } = require('child_process');
const fs = require('fs');
const path = require('path');
const { WINDOWS, placeOf } = require('./place.js');
const { findWays } = require('./discovery.js');
const lock = require('./lock.js');
const { childEnvironment } = require('./run.js');
const { cleanUp } = require('./cleanup.js');
const {
  Failure, withoutSecrets, noPython, noSpace, fromFileSystem, fromInstaller, noPythonForUv, tooLong, unknown,
} = require('./failures.js');

const VENV_MINUTES = 10; // uv may fetch a Python
const INSTALL_MINUTES = 30;
const CHECK_MINUTES = 3;
const KEPT = 64 * 1024;
/** uv and pip follow these into other environments, or ask questions that nobody would see. */
const LEFT_OUT = [
  'VIRTUAL_ENV', 'CONDA_PREFIX', '__PYVENV_LAUNCHER__', 'PIP_TARGET', 'PIP_PREFIX', 'PIP_ROOT', 'PIP_USER', 'PIP_REQUIRE_VIRTUALENV',
  'PIP_REQUIREMENT', 'PIP_CONSTRAINT', 'UV_CONSTRAINT', 'UV_OVERRIDE', 'UV_PYTHON', 'UV_PROJECT', 'UV_PROJECT_ENVIRONMENT',
];

/** The user's environment for uv and pip: with npm's proxy and certificates, without what leads them astray. */
function installerEnvironment(env) {
  const kept = childEnvironment(env);
  for (const name of LEFT_OUT) delete kept[name];
  const fill = (name, value) => { if (value && value !== 'null' && !kept[name] && !kept[name.toLowerCase()]) kept[name] = value; };
  fill('HTTPS_PROXY', env.npm_config_https_proxy || env.npm_config_proxy);
  fill('HTTP_PROXY', env.npm_config_proxy);
  fill('NO_PROXY', env.npm_config_noproxy);
  fill('SSL_CERT_FILE', env.npm_config_cafile);
  fill('PIP_CERT', env.npm_config_cafile);
  // uv has names of its own for the index; the user may have set pip's alone.
  if (!env.UV_INDEX_URL) fill('UV_DEFAULT_INDEX', env.PIP_INDEX_URL);
  if (!env.UV_EXTRA_INDEX_URL) fill('UV_INDEX', env.PIP_EXTRA_INDEX_URL);
  fill('PIP_DEFAULT_TIMEOUT', '30');
  fill('PIP_RETRIES', '2');
  return {
    ...kept, PIP_NO_INPUT: '1', PIP_DISABLE_PIP_VERSION_CHECK: '1', PIP_NO_COLOR: '1', NO_COLOR: '1', PYTHONUNBUFFERED: '1', PYTHONUTF8: '1',
  };
}

/** Runs a program to its end; gives its last words. Throws a Failure when it takes too long or cannot start. */
function run(place, command, words, { minutes, step, onLine = () => {} }) {
  return new Promise((resolve, reject) => {
    const log = fs.createWriteStream(place.log, { flags: 'a', mode: 0o600 });
    log.on('error', () => {}); // a full disk shows in what the program says
    log.write(`\n$ ${withoutSecrets([command, ...words].join(' '))}\n`);
    // In the environments' folder: a project's own uv.toml or .python-version is none of its business.
    const child = spawn(command, words, {
      cwd: place.folder, env: installerEnvironment(process.env), stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true,
    });
    let said = '';
    let late = false;
    const timer = setTimeout(() => { late = true; child.kill('SIGKILL'); }, minutes * 60000);
    for (const stream of [child.stdout, child.stderr]) {
      let rest = '';
      stream.setEncoding('utf8').on('data', (text) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop();
        for (const line of lines) {
          const shown = withoutSecrets(line);
          log.write(`${shown}\n`);
          said = `${said}${shown}\n`.slice(-KEPT);
          onLine(shown);
        }
      });
      stream.on('end', () => { if (rest) said += `${withoutSecrets(rest)}\n`; });
    }
    child.on('error', (error) => { clearTimeout(timer); log.end(); reject(unknown(`${command}: ${error.message}`, place)); });
    child.on('close', (code) => {
      clearTimeout(timer);
      log.end();
      if (late) reject(tooLong(step, minutes, place));
      else resolve({ code, said });
    });
  });
}

/** Reads from uv's and pip's lines how many MB of the download are done. */
function downloadMeter(total, tell) {
  const sizes = new Map();
  let done = 0;
  let under = null;
  const add = (mb) => { done += mb; tell({ phase: 'downloading', done: Math.round(Math.min(done, total)), total }); };
  return (line) => {
    const pip = /^\s*Downloading (\S+\.(?:whl|tar\.gz|zip))\S* \(([\d.]+) (kB|MB)/.exec(line);
    const begins = /^\s*Downloading (\S+) \(([\d.]+)(KiB|MiB)\)/.exec(line);
    const ends = /^\s*Downloaded (\S+)/.exec(line);
    if (pip) {
      add(under === null ? 0 : under);
      under = Number(pip[2]) / (pip[3] === 'kB' ? 1000 : 1);
    } else if (begins) {
      sizes.set(begins[1], Number(begins[2]) * (begins[3] === 'KiB' ? 0.001024 : 1.048576));
      add(0);
    } else if (ends && sizes.has(ends[1])) {
      add(sizes.get(ends[1]));
    } else if (/^(Installing collected packages|Prepared \d)/.test(line)) {
      tell({ phase: 'unpacking' });
    } else if (/^Resolved \d/.test(line)) {
      tell({ phase: 'downloading', done: Math.round(Math.min(done, total)), total });
    }
  };
}

/** Makes the environment, with pip inside: `internvl-mcp setup` may run later where uv is not found. */
function venvCommand(way, place) {
  if (way.kind === 'uv') return [way.command, 'venv', '--no-project', '--seed', '--python', way.python, place.environment];
  return [way.command, ...way.words, '-m', 'venv', place.environment];
}

const byUv = (uv, place) => [uv, 'pip', 'install', '--compile-bytecode', '--python', place.python];
const byPip = (place) => [place.python, '-m', 'pip', 'install'];

/** uv in the environment itself, as a package of Python: it takes a quarter of pip's time. Null where there is none. */
async function uvFromIndex(place) {
  const got = await run(place, place.python, [...byPip(place).slice(1), 'uv'], { minutes: 5, step: 'The download of uv' });
  if (got.code === 0) return path.join(path.dirname(place.python), WINDOWS ? 'uv.exe' : 'uv');
  const failure = fromInstaller(got.said, process.env, place);
  if (failure.final) throw failure;
  return null;
}

async function installBy(way, place, tell) {
  fs.rmSync(place.environment, { recursive: true, force: true, maxRetries: 3 });
  tell({ phase: 'environment' });
  const [command, ...words] = venvCommand(way, place);
  const made = await run(place, command, words, { minutes: VENV_MINUTES, step: 'Making the environment' });
  if (made.code !== 0) throw noPythonForUv(made.said) || fromInstaller(made.said, process.env, place);
  tell({ phase: 'resolving' });
  if (way.kind === 'uv') return installWith(byUv(way.command, place), place, tell);
  const uv = await uvFromIndex(place);
  if (uv) {
    try {
      return await installWith(byUv(uv, place), place, tell);
    } catch (failure) {
      if (failure.code === 'NO_SPACE') throw failure;
      // pip may know from its own settings the way to an index, which uv does not read.
    }
  }
  return installWith(byPip(place), place, tell);
}

async function installWith([command, ...words], place, tell) {
  const wheel = path.join(place.packaged, place.built.wheel);
  const pins = ['--constraint', path.join(place.packaged, 'constraints.txt')];
  const limits = { minutes: INSTALL_MINUTES, step: 'The download', onLine: downloadMeter(place.built.downloadMb, tell) };
  const pinned = await run(place, command, [...words, ...pins, wheel], limits);
  if (pinned.code === 0) return;
  const failure = fromInstaller(pinned.said, process.env, place);
  // The versions that were tested may not all be on this index, or have no build for this Python: then others.
  if (failure.code !== 'NO_PACKAGE') throw failure;
  const loose = await run(place, command, [...words, wheel], limits);
  if (loose.code !== 0) throw fromInstaller(loose.said, process.env, place);
}

/** Where the server's package lies in an environment that works. Throws a Failure. */
async function check(place) {
  const asked = await run(place, place.python, ['-c', 'import mcp_server.cli as m; print("module", m.__file__)'], {
    minutes: CHECK_MINUTES, step: 'The check of the environment',
  });
  const module = /^module (.+)$/m.exec(asked.said);
  if (asked.code !== 0 || !module || !fs.existsSync(place.program)) throw unknown(asked.said, place);
  return module[1].trim();
}

async function setUp(place, tell) {
  tell({ phase: 'looking' });
  const free = fs.statfsSync ? fs.statfsSync(place.folder) : null; // Node 18.15; before that a full disk shows later
  const freeMb = free && Math.floor((free.bavail * free.bsize) / 1e6);
  if (free && freeMb < place.built.installedMb) throw noSpace(place, freeMb);
  fs.rmSync(place.log, { force: true });
  const found = [];
  let failure = null;
  for await (const way of findWays(installerEnvironment(process.env), process.env.INTERNVL_MCP_PYTHON, found)) {
    try {
      await installBy(way, place, tell);
      tell({ phase: 'checking' });
      const module = await check(place);
      fs.writeFileSync(`${place.stamp}.new`, JSON.stringify({ build: place.built.build, module }));
      fs.renameSync(`${place.stamp}.new`, place.stamp);
      return;
    } catch (error) {
      // What is half made takes room, and would look like an environment.
      fs.rmSync(place.environment, { recursive: true, force: true, maxRetries: 3 });
      failure = error;
      if (!(error instanceof Failure) || error.final) break;
    }
  }
  throw failure || noPython(found);
}

/** At once, with uv or pip: this process leads their group. */
function end() {
  if (process.platform === 'win32') process.exit(1);
  process.kill(-process.pid, 'SIGKILL');
}

async function main(token) {
  const place = placeOf(process.env);
  let now = { phase: 'starting' };
  const tell = (said) => { now = said; };
  const beat = setInterval(() => {
    // Somebody thought this one dead, after a computer's sleep, and works in the same folder now.
    if (!lock.renew(place, token, now)) end();
  }, 500);
  lock.renew(place, token, now);
  try {
    await setUp(place, tell);
    fs.rmSync(place.failed, { force: true });
    await cleanUp(place);
  } catch (error) {
    const failure = error instanceof Failure ? error : fromFileSystem(error, place);
    fs.writeFileSync(place.failed, JSON.stringify({ at: Date.now(), code: failure.code, what: failure.what, next: failure.next }));
    process.exitCode = 1;
  } finally {
    clearInterval(beat);
    lock.release(place, token);
  }
}

if (require.main === module) main(process.argv[2]);

module.exports = { installerEnvironment, downloadMeter };
