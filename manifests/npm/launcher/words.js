'use strict';
// What the command line asks for, as far as the launcher must know it.

const COMMANDS = ['call', 'doctor', 'plan', 'pull', 'install', 'uninstall', 'setup'];

/** True where a client will speak MCP over standard input; everything else is a command that a person waits for. */
function isServer(words, terminal) {
  const other = (word) => COMMANDS.includes(word) || ['--help', '-h', '--version', '--http'].includes(word);
  return !terminal && !words.some(other);
}

module.exports = { COMMANDS, isServer };
