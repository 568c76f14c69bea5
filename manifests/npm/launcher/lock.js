'use strict';
// One set-up at a time: a lock file that its holder rewrites every second, with how far it is.
//
// A holder that died, or whose lock was not rewritten for a minute (another computer's, in a shared home), has lost it.

const crypto = require('crypto');
const fs = require('fs');
const os = require('os');
const path = require('path');

const STALE_MS = 60000;

function read(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch {
    return null; // missing, or half-written by one that died
  }
}

function lives(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** The holder's words, or null where nobody holds it. */
function holder(place) {
  let age;
  try {
    age = Date.now() - fs.statSync(place.lock).mtimeMs;
  } catch {
    return null;
  }
  const held = read(place.lock);
  if (held === null) return age < 2000 ? { phase: 'starting' } : null;
  return age < STALE_MS && (held.host !== os.hostname() || lives(held.pid)) ? held : null;
}

/** As mkdir -p. Node's own goes round for ever below /proc, where a folder is missing and cannot be made. */
function makeFolder(folder) {
  const missing = [];
  for (let at = folder; !fs.existsSync(at); at = path.dirname(at)) missing.push(at);
  for (const each of missing.reverse()) {
    try {
      fs.mkdirSync(each);
    } catch (error) {
      if (error.code !== 'EEXIST') throw error; // another launcher was quicker
    }
  }
}

/** A token, or null where somebody else has the lock. Throws what the file system says. */
function take(place) {
  makeFolder(place.folder);
  if (holder(place) === null) putAside(place);
  const token = crypto.randomBytes(8).toString('hex');
  const held = { token, pid: process.pid, host: os.hostname(), phase: 'starting' };
  try {
    fs.writeFileSync(place.lock, JSON.stringify(held), { flag: 'wx', mode: 0o600 });
    return token;
  } catch (error) {
    if (error.code === 'EEXIST') return null;
    fs.rmSync(place.lock, { force: true }); // a disk that is full leaves an empty file
    throw error;
  }
}

/** Removes a lock that nobody holds. Of several that see it, one may: the others could remove the next holder's. */
function putAside(place) {
  const claim = `${place.lock}.stale`;
  try {
    fs.writeFileSync(claim, '', { flag: 'wx' });
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    if (Date.now() - fs.statSync(claim).mtimeMs > STALE_MS) fs.rmSync(claim, { force: true });
    return;
  }
  try {
    if (holder(place) === null) fs.rmSync(place.lock, { force: true });
  } finally {
    fs.rmSync(claim, { force: true });
  }
}

/** Says how far the holder is. False when the lock went to somebody else. */
function renew(place, token, said) {
  if ((read(place.lock) || {}).token !== token) return false;
  const next = `${place.lock}.${token}`;
  try {
    fs.writeFileSync(next, JSON.stringify({ token, pid: process.pid, host: os.hostname(), ...said }), { mode: 0o600 });
    fs.renameSync(next, place.lock);
  } catch {
    // A full disk, or on Windows a reader at this moment: the lock stays as it was and is renewed a second later.
    fs.rmSync(next, { force: true });
  }
  return true;
}

function release(place, token) {
  if ((read(place.lock) || {}).token === token) fs.rmSync(place.lock, { force: true });
}

module.exports = { read, holder, take, renew, release };
