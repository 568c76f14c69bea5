'use strict';
// Everything that can go wrong before Python runs: what happened, in a sentence, and what to do next, in another.

const PYTHONS = 'Python 3.11 to 3.14';
const GET_UV = process.platform === 'win32'
  ? 'powershell -c "irm https://astral.sh/uv/install.ps1 | iex"'
  : 'curl -LsSf https://astral.sh/uv/install.sh | sh';

class Failure extends Error {
  /** `final`: another way of installing would fail alike. */
  constructor(code, what, next, final = true) {
    super(what);
    Object.assign(this, { code, what, next, final });
  }
}

/** Addresses may hold names and passwords; nothing that is shown or logged does. */
function withoutSecrets(text) {
  return String(text).replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/"]*@/gi, '$1***@').replace(/(:\/\/[^\s?'"]+)\?[^\s'"]+/g, '$1');
}

function first(env, ...names) {
  const name = names.find((candidate) => env[candidate]);
  return name && { name, value: withoutSecrets(env[name]) };
}

const proxyOf = (env) => first(env, 'HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy', 'HTTP_PROXY', 'http_proxy');
const indexOf = (env) => first(env, 'UV_DEFAULT_INDEX', 'UV_INDEX_URL', 'PIP_INDEX_URL');

function noPython(found) {
  const seen = found.length ? `Found only: ${found.join('; ')}.` : 'Neither is here.';
  return new Failure(
    'NO_PYTHON', `uv or ${PYTHONS} is needed. ${seen}`,
    `Install uv, which brings its own Python: ${GET_UV}   Then start again.`,
  );
}

function noSpace(place, freeMb) {
  const room = freeMb === undefined ? 'The disk is full' : `Only ${freeMb} MB are free`;
  return new Failure(
    'NO_SPACE', `${room} in ${place.folder}; the environment takes about ${place.built.installedMb} MB.`,
    'Free some space, or set INTERNVL_MCP_ENVIRONMENT to a folder on another disk.',
  );
}

function notWritable(where, code) {
  return new Failure(
    'NOT_WRITABLE', `${where} cannot be written (${code}).`,
    'Set INTERNVL_MCP_ENVIRONMENT to a folder that you may write, or change the permissions.',
  );
}

/** An error of the file system while the environment is made. */
function fromFileSystem(error, place) {
  if (['ENOSPC', 'EDQUOT', 'EFBIG'].includes(error.code)) return noSpace(place);
  if (['EROFS', 'EACCES', 'EPERM', 'ENOTDIR', 'EEXIST', 'ENOENT'].includes(error.code)) {
    return notWritable(error.path || place.folder, error.code);
  }
  return unknown(error.message, place);
}

function unknown(said, place) {
  const last = withoutSecrets(said).trim().split('\n').filter(Boolean).slice(-3).join(' ').slice(-400);
  return new Failure(
    'SETUP_FAILED', `The environment could not be made: ${last || 'the set-up ended without a word'}`,
    `The whole log is in ${place.log}. Start again; if it stays so, report it with that log.`, false,
  );
}

const NETWORK = /name resolution|name or service not known|nodename nor servname|getaddrinfo|dns error|failed to lookup|network is unreachable|no route to host|connection refused|connection reset|NewConnectionError|error sending request|ConnectTimeout|Read timed out|operation timed out|error trying to connect|Max retries exceeded|client error \(Connect\)/i;

/** What uv or pip said when it failed, in words for the person who waits. */
function fromInstaller(said, env, place) {
  if (/no space left|disk quota exceeded|file too large|os error (28|27|122|112)\b|not enough space on the disk/i.test(said)) {
    return noSpace(place);
  }
  if (/certificate.verify.failed|UnknownIssuer|invalid peer certificate|self.signed certificate/i.test(said)) {
    return new Failure(
      'TLS', 'The package index shows a certificate that this computer does not trust.',
      'Where a proxy of your company opens connections: set SSL_CERT_FILE and PIP_CERT to the file of its certificates.',
    );
  }
  const proxy = proxyOf(env);
  if (/ProxyError|proxy authentication|tunnel (error|connection)|\b407\b|unsuccessful tunnel/i.test(said) || (proxy && NETWORK.test(said))) {
    const named = proxy ? `The proxy ${proxy.value} (${proxy.name})` : 'The proxy';
    return new Failure('PROXY', `${named} did not let the download through.`, 'Correct that variable, or unset it where no proxy is needed, and start again.');
  }
  const index = indexOf(env);
  const from = index ? `the package index ${index.value} (${index.name})` : 'the Python package index';
  if (/\b(401|403)\b.*(error|unauthorized|forbidden)|(unauthorized|forbidden)/i.test(said)) {
    return new Failure('INDEX_REFUSED', `It was refused by ${from}.`, 'Check its address and the name and password for it.');
  }
  if (NETWORK.test(said)) {
    return new Failure(
      'NO_NETWORK', `No connection to ${from}.`,
      `The first start downloads about ${place.built.downloadMb} MB: check the network${index ? `, ${index.name}` : ', HTTPS_PROXY if there is a proxy'}, and start again.`,
    );
  }
  if (/permission denied|read-only file system|access is denied|os error (13|30)\b/i.test(said)) return notWritable(place.folder, 'refused');
  return missingPackage(said, place) || unknown(said, place);
}

/** Some packages have no build for every computer: 32 bits, musl, old systems. */
function missingPackage(said, place) {
  const match = /No matching distribution found for ([\w.-]+)/i.exec(said) || /user requested \(constraint\) ([\w.-]+)/i.exec(said)
    || (/No solution found/i.test(said) && /Because (?:only |there (?:are|is) no versions? of )?([a-z0-9][\w.-]*)/i.exec(said));
  if (!match) return null;
  return new Failure(
    'NO_PACKAGE', `The package ${match[1]} has no build for this computer (${process.platform} ${process.arch}) and its Python.`,
    `Use ${PYTHONS} of 64 bits on Linux with glibc 2.28 or later, macOS 13 or later, or Windows; INTERNVL_MCP_PYTHON names which Python. Log: ${place.log}`,
    false,
  );
}

/** uv found no Python that fits; it fetches one unless it must not or cannot. */
function noPythonForUv(said) {
  if (!/No interpreter found|python-build-standalone/i.test(said)) return null;
  const why = /Failed to download|client error|dns error/i.test(said) ? 'could not fetch one' : 'was told not to fetch one';
  return new Failure(
    'NO_PYTHON', `uv found no ${PYTHONS} here and ${why}.`,
    'Check the network and HTTPS_PROXY, or install Python 3.12 yourself, and start again.',
  );
}

function tooLong(step, minutes, place) {
  return new Failure('TOO_LONG', `${step} did not end within ${minutes} minutes.`, `Look at the network and at ${place.log}, then start again.`);
}

/** What stands in for a place where none could be found. */
function fromPlace({ code, detail }) {
  if (code === 'NO_HOME') {
    return new Failure(code, `There is no home folder (${detail}).`, 'Set HOME, or INTERNVL_MCP_ENVIRONMENT to a folder that you may write.');
  }
  return new Failure(code, `This copy of the launcher has no Python package inside (${detail}).`, 'Install it from npm: npx -y internvl-mcp@latest. In a checkout: scripts/build_npm.py.');
}

module.exports = {
  Failure, PYTHONS, GET_UV, withoutSecrets, noPython, noSpace, notWritable, fromFileSystem, fromInstaller, fromPlace, noPythonForUv, tooLong,
  unknown,
};
