'use strict';
// The Python program as this process's child: signals go to it, its end is mirrored.

const { spawn, spawnSync } = require('child_process');
const fs = require('fs');
const { isServer } = require('./words.js');

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
/** Whoever ends sooner than this with status 1 may not have got as far as running. */
const EARLY_MS = 5000;

/** The launcher's own variables are no settings of the server; Python's would let other packages into its environment. */
function childEnvironment(env) {
  const kept = { ...env };
  for (const name of ['INTERNVL_MCP_PYTHON', 'INTERNVL_MCP_ENVIRONMENT', 'PYTHONPATH', 'PYTHONHOME']) delete kept[name];
  return kept;
}

function startProgram(place, words, stdio) {
  const child = spawn(place.program, words, { stdio, env: childEnvironment(process.env) });
  const handlers = SIGNALS.map((name) => [name, () => {
    // Ctrl-C in a terminal reaches the child by itself; passed on, it would count twice.
    if (name !== 'SIGINT' || !process.stdin.isTTY) child.kill(name);
  }]);
  for (const [name, handler] of handlers) process.on(name, handler);
  child.once('exit', () => { for (const [name, handler] of handlers) process.removeListener(name, handler); });
  return child;
}

/** Ends this process as the child ended. */
function mirror(code, signal) {
  if (signal) process.kill(process.pid, signal);
  else process.exit(code);
}

function runWarm(place, words) {
  const started = Date.now();
  const child = startProgram(place, words, 'inherit');
  touch(place.stamp);
  child.once('error', (error) => {
    // The interpreter in the program's first line is gone: nothing was read yet, so it can begin anew.
    if (error.code === 'ENOENT') return makeAnew(place, words);
    process.stderr.write(`internvl-mcp: ${place.program} cannot be run (${error.code}).\nLook at its permissions, or set INTERNVL_MCP_ENVIRONMENT to a folder that programs may run from.\n`);
    process.exit(1);
  });
  child.once('exit', (code, signal) => {
    if (code !== 1 || Date.now() - started > EARLY_MS || works(place)) return mirror(code, signal);
    if (!isServer(words, process.stdin.isTTY)) return makeAnew(place, words);
    // What the client said is gone with the child: only its next start can be answered.
    fs.rmSync(place.stamp, { force: true });
    process.stderr.write('internvl-mcp: its environment was damaged, and is made anew when it is next started.\n');
    process.exit(1);
  });
}

/** Says that this environment is in use: those that are not are removed one day. */
function touch(file) {
  const now = new Date();
  fs.utimes(file, now, now, () => {}); // a home that is read-only keeps them all
}

function makeAnew(place, words) {
  fs.rmSync(place.stamp, { force: true });
  require('./cold.js').start(place, words);
}

function works(place) {
  const asked = spawnSync(place.python, ['-c', 'import mcp_server.cli'], {
    env: childEnvironment(process.env), stdio: 'ignore', timeout: 20000,
  });
  return asked.status === 0;
}

module.exports = { startProgram, mirror, runWarm, childEnvironment };
