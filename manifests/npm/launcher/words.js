'use strict';
// What the command line asks for, as far as the launcher must know it.

const COMMANDS = ['call', 'doctor', 'plan', 'pull', 'install', 'uninstall', 'setup'];

/** True where a client will speak MCP over standard input; everything else is a command that a person waits for. */
function isServer(words, terminal) {
  // What stands after a setting's flag is its value: a folder may be called doctor.
  const other = (word, at) => ['--help', '-h', '--version', '--http'].includes(word)
    || (COMMANDS.includes(word) && !/^--[^=]+$/.test(at > 0 ? words[at - 1] : ''));
  return !terminal && !words.some(other);
}

module.exports = { COMMANDS, isServer };
