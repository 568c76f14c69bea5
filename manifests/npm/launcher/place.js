'use strict';
// Where this version's environment lies, and whether it can be used: what every start needs to know.

const fs = require('fs');
const os = require('os');
const path = require('path');

const WINDOWS = process.platform === 'win32';

/** What scripts/build_npm put into the package beside this launcher: the wheel, its build's name, and sizes in MB. */
const PACKAGED = path.join(__dirname, '..', 'python');

/** The user's folder for programs' data on this system. */
function dataFolder(env) {
  if (env.INTERNVL_MCP_ENVIRONMENT) return path.resolve(env.INTERNVL_MCP_ENVIRONMENT);
  const home = os.homedir(); // throws where there is none
  if (WINDOWS) return path.join(env.LOCALAPPDATA || path.join(home, 'AppData', 'Local'), 'internvl-mcp');
  if (process.platform === 'darwin') return path.join(home, 'Library', 'Application Support', 'internvl-mcp');
  const set = env.XDG_DATA_HOME; // a relative one is to be ignored, says the XDG specification
  return path.join(set && path.isAbsolute(set) ? set : path.join(home, '.local', 'share'), 'internvl-mcp');
}

/** The paths of one version's environment, and of what is kept beside it while it is made. */
function placeOf(env) {
  let built;
  try {
    built = JSON.parse(fs.readFileSync(path.join(PACKAGED, 'built.json'), 'utf8'));
  } catch (error) {
    return { failure: { code: 'PACKAGE_INCOMPLETE', detail: error.message } };
  }
  try {
    const folder = dataFolder(env);
    const made = path.join(folder, `env-${built.version}`);
    const bin = path.join(made, WINDOWS ? 'Scripts' : 'bin');
    return {
      built,
      packaged: PACKAGED,
      folder,
      environment: made,
      python: path.join(bin, WINDOWS ? 'python.exe' : 'python'),
      program: path.join(bin, WINDOWS ? 'internvl-mcp.exe' : 'internvl-mcp'),
      stamp: path.join(made, 'ready.json'),
      lock: `${made}.lock`,
      failed: `${made}.failed.json`,
      log: `${made}.log`,
    };
  } catch (error) {
    return { built, failure: { code: 'NO_HOME', detail: error.message } };
  }
}

/** The stamp is written last of all: an environment without it, or of another build, was not finished. */
function isReady(place) {
  try {
    const stamp = JSON.parse(fs.readFileSync(place.stamp, 'utf8'));
    // `python` is a link to the Python it was made with, which an update may have taken away.
    return stamp.build === place.built.build && [place.program, place.python, stamp.module].every(fs.existsSync);
  } catch {
    return false;
  }
}

module.exports = { WINDOWS, placeOf, isReady };
