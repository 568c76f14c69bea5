'use strict';
// Environments of other versions go when nothing uses them any more; each takes most of a gigabyte.

const { execFile } = require('child_process');
const fs = require('fs');
const path = require('path');
const lock = require('./lock.js');

/** A server may run for weeks, and a client may be opened as seldom. */
const UNUSED_MS = 30 * 24 * 3600 * 1000;

/** When it was last started: by a launcher, which touches the stamp, or by a client's own entry, which reads the program. */
function lastUsed(environment) {
  const times = ['ready.json', 'bin/internvl-mcp', 'Scripts/internvl-mcp.exe'].map((name) => {
    try {
      const found = fs.statSync(path.join(environment, name));
      return Math.max(found.mtimeMs, found.atimeMs);
    } catch {
      return 0;
    }
  });
  return Math.max(...times);
}

const LIST_FILES = `
from manifests.clients.known import CLIENTS
from manifests.clients.place import here
place = here()
for client in CLIENTS:
    for spot in client.user[place.system]:
        print(place.path(spot.path))
`;

/** The text of all files in which clients keep their servers; an environment that one names is in use. */
function clientFiles(place) {
  return new Promise((resolve) => {
    execFile(place.python, ['-c', LIST_FILES], { timeout: 30000, windowsHide: true }, (error, out) => {
      if (error) return resolve(null);
      resolve(out.split('\n').map((file) => {
        try {
          return fs.readFileSync(file.trim(), 'utf8');
        } catch {
          return '';
        }
      }).join('\n'));
    });
  });
}

async function cleanUp(place) {
  const own = path.basename(place.environment);
  const others = fs.readdirSync(place.folder).filter((name) => /^env-[\w.+-]+$/.test(name) && !name.includes('.lock') && name !== own
    && fs.statSync(path.join(place.folder, name)).isDirectory());
  const old = others.filter((name) => Date.now() - lastUsed(path.join(place.folder, name)) > UNUSED_MS);
  if (old.length === 0) return;
  const named = await clientFiles(place);
  if (named === null) return; // not knowing is no reason to remove
  for (const name of old) {
    const environment = path.join(place.folder, name);
    if (['/', '\\'].some((end) => named.includes(name + end)) || lock.holder({ lock: `${environment}.lock` })) continue;
    for (const file of [environment, `${environment}.log`, `${environment}.failed.json`]) fs.rmSync(file, { recursive: true, force: true });
  }
}

module.exports = { cleanUp };
