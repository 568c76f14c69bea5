'use strict';
// The start before there is an environment: a client is answered meanwhile, a person sees how far it is.

const { ensure, inWords } = require('./ensure.js');
const { isServer } = require('./words.js');

function start(place, words) {
  if (isServer(words, process.stdin.isTTY)) {
    require('./standin.js').serve(place, words);
  } else {
    forPerson(place, words);
  }
}

/** One line on standard error that moves; where that is no terminal, a line now and then. */
async function forPerson(place, words) {
  const terminal = process.stderr.isTTY;
  const began = Date.now();
  let shown = 0;
  const tell = (said) => {
    if (!terminal && Date.now() - shown < (shown ? 15000 : 0)) return;
    shown = Date.now();
    const line = `internvl-mcp: setting up, once: ${inWords(said)} · ${Math.round((shown - began) / 1000)} s`;
    process.stderr.write(terminal ? `\r\x1b[K${line}` : `${line}\n`);
  };
  let setup;
  const stop = (name) => {
    // The person who waits for it does not want it any more.
    if (setup && process.platform !== 'win32') process.kill(-setup.pid, 'SIGTERM');
    else if (setup) setup.kill();
    if (terminal) process.stderr.write('\n');
    process.removeAllListeners(name);
    process.kill(process.pid, name);
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const name of names) process.on(name, stop);
  try {
    await ensure(place, tell, (child) => { setup = child; });
  } catch (failure) {
    process.stderr.write(`${terminal ? '\r\x1b[K' : ''}internvl-mcp: ${failure.what}\n${failure.next}\n`);
    process.exit(1);
  } finally {
    for (const name of names) process.removeListener(name, stop);
  }
  if (terminal) process.stderr.write(`\r\x1b[Kinternvl-mcp: set up in ${Math.round((Date.now() - began) / 1000)} s\n`);
  require('./run.js').runWarm(place, words);
}

module.exports = { start };
