'use strict';
// Waits until the environment is ready: whoever comes first starts the set-up, all others watch it.

const { spawn } = require('child_process');
const path = require('path');
const { isReady } = require('./place.js');
const lock = require('./lock.js');
const { Failure, fromFileSystem, fromPlace, unknown } = require('./failures.js');

const LOOK_MS = 150;
const ATTEMPTS = 2;

const NAMES = {
  starting: 'starting', looking: 'looking for uv or Python', environment: 'making the environment', resolving: 'asking for the packages',
  unpacking: 'unpacking', checking: 'checking',
};

/** What the set-up does at the moment, for people. */
function inWords(said) {
  return said.phase === 'downloading' ? `downloading, ${said.done} of about ${said.total} MB` : NAMES[said.phase] || 'starting';
}

function startSetup(place, token) {
  // Detached: a client that looked in for a moment must not end it.
  const child = spawn(process.execPath, [path.join(__dirname, 'setup.js'), token], { detached: true, stdio: 'ignore', windowsHide: true });
  child.unref();
  return child;
}

/**
 * Resolves when the environment can be used; rejects with a Failure. `tell` is called with what the set-up does.
 * `started` is called with the set-up's process when this launcher started it.
 */
async function ensure(place, tell, started = () => {}) {
  if (place.failure) throw fromPlace(place.failure);
  if (Number(process.versions.node.split('.')[0]) < 18) {
    throw new Failure('OLD_NODE', `internvl-mcp needs Node 18 or later; this is ${process.version}.`, 'Install a newer Node from https://nodejs.org.');
  }
  const since = Date.now();
  let attempts = 0;
  for (;;) {
    if (isReady(place)) return;
    const held = lock.holder(place);
    const failed = held ? null : lock.read(place.failed);
    if (held) tell(held);
    else if (failed && failed.at >= since) throw new Failure(failed.code, failed.what, failed.next);
    else if (attempts === ATTEMPTS) throw unknown('the set-up ended before it was done.', place);
    else {
      const token = takeLock(place);
      if (token) {
        attempts += 1;
        started(startSetup(place, token));
      }
    }
    await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
  }
}

function takeLock(place) {
  try {
    return lock.take(place);
  } catch (error) {
    throw fromFileSystem(error, place);
  }
}

module.exports = { ensure, inWords };
