'use strict';
// Speaks for the server while its environment is made, so that no client waits for a download to be connected.
//
// What a client asks on connecting has answers that were recorded from the server itself when the package was built.
// All that the client says is kept, and said to the server as soon as it runs; what the server then answers a second
// time is dropped. From there on both sides' bytes pass through as they are.

const fs = require('fs');
const path = require('path');
const { ensure, inWords } = require('./ensure.js');
const { mirror, startProgram } = require('./run.js');

const TIMES = {
  openMs: 1500, // so long the first answer is held back: what fails at once is then told as the failure to connect it is
  callMs: 40000, // many clients give a call 60 s
  progressMs: 2000,
  againMs: 10000, // a failed set-up is tried again with a call that comes later than this
  lingerMs: 1000, // so long a client may take to ask on after an error,
  silentMs: 15000, // or to ask at all
};
const SERVER_ERROR = -32000;
const VERSION = 'io.modelcontextprotocol/protocolVersion';
const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities';

const isRequest = (message) => message !== null && typeof message === 'object' && typeof message.method === 'string'
  && (typeof message.id === 'string' || typeof message.id === 'number');

function parsed(line) {
  try {
    return JSON.parse(line);
  } catch {
    return null; // the server says what it thinks of it
  }
}

/** Cuts a stream of bytes into lines, each with its end. */
class Lines {
  constructor(onLine) {
    this.rest = Buffer.alloc(0);
    this.onLine = onLine;
  }

  take(chunk) {
    this.rest = Buffer.concat([this.rest, chunk]);
    for (let end; (end = this.rest.indexOf(10)) >= 0;) {
      const line = this.rest.subarray(0, end + 1);
      this.rest = this.rest.subarray(end + 1);
      this.onLine(line);
    }
  }
}

/** What the server would answer, its result or its error; undefined where only it can know. */
class Recorded {
  constructor(place) {
    try {
      this.answers = place.packaged && JSON.parse(fs.readFileSync(path.join(place.packaged, 'answers.json'), 'utf8'));
    } catch (error) {
      this.lacks = error.message; // a package of which a part is missing
    }
    this.era = null; // a connection is of one era, which its first request decides
  }

  to({ method, params = {} }) {
    if (!this.answers) return undefined; // nothing can be set up: every request gets the reason
    const { legacy, modern } = this.answers;
    const meta = (params && params._meta) || {};
    if (this.era === null) {
      if (method === 'initialize') this.era = 'legacy';
      else this.era = modern.versions.includes(meta[VERSION]) && meta[CAPABILITIES] ? 'modern' : 'unknown';
      if (method === 'initialize' && params && typeof params.protocolVersion === 'string' && params.capabilities && params.clientInfo) {
        const version = legacy.versions.includes(params.protocolVersion) ? params.protocolVersion : legacy.initialize.protocolVersion;
        return { result: { ...legacy.initialize, protocolVersion: version } };
      }
    }
    if (this.era === 'modern' && method === 'initialize' && params && typeof params.protocolVersion === 'string') {
      // A client whose first question took too long, behind a slow npx, tries the older era: it must not wait for that.
      return { error: { ...modern.refusal, data: { ...modern.refusal.data, requested: params.protocolVersion } } };
    }
    if (this.era === 'unknown' || method === 'initialize' || (params && params.cursor)) return undefined;
    if (this.era === 'modern' && !(modern.versions.includes(meta[VERSION]) && meta[CAPABILITIES])) return undefined;
    const result = this.answers[this.era].results[method];
    return result && { result };
  }

  /** A tool's result that is only words. */
  excuse(text) {
    const result = { content: [{ type: 'text', text }], isError: true };
    return this.era === 'modern' ? { ...result, ...this.answers.modern.stamp } : result;
  }
}

class StandIn {
  constructor(place, words, times) {
    Object.assign(this, { place, words, times });
    this.recorded = new Recorded(place);
    if (this.recorded.lacks) this.place = { failure: { code: 'PACKAGE_INCOMPLETE', detail: this.recorded.lacks } };
    this.kept = []; // {line, id?, method?}: what the server is told when it runs
    this.held = []; // requests whose answer is known, until the connection is opened
    this.waiting = new Map(); // id → {message, timer, since}
    this.answered = new Set(); // ids whose second answer is dropped
    this.opened = false;
    this.failure = null;
    this.said = { phase: 'starting' };
    this.lines = new Lines((line) => this.hear(line));
    this.listen = (chunk) => this.lines.take(chunk);
    this.leave = () => {
      if (!this.failure) this.open(); // what is known is still told to a client that asked and left
      this.end(this.failure ? 1 : 0);
    };
  }

  serve() {
    process.stdin.on('data', this.listen).on('end', this.leave).on('error', this.leave);
    process.stdout.on('error', this.leave);
    process.stderr.on('error', () => {}); // nobody reads it
    setTimeout(() => { if (!this.failure) this.open(); }, this.times.openMs).unref();
    this.timer = setInterval(() => this.progress(), this.times.progressMs);
    this.try();
  }

  try() {
    this.failure = null;
    const tell = (said) => {
      this.said = said;
      if (['downloading', 'unpacking', 'checking'].includes(said.phase)) this.open();
    };
    ensure(this.place, tell).then(() => this.handOver(), (failure) => this.fail(failure));
  }

  say(message) {
    process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  }

  hear(line) {
    const message = parsed(line);
    if (message && message.method === 'notifications/cancelled' && this.cancelled(message)) return;
    if (!isRequest(message)) {
      this.kept.push({ line });
      return;
    }
    const entry = { line, id: message.id, method: message.method };
    this.kept.push(entry);
    const reply = this.recorded.to(message);
    if (this.failure && !this.opened) this.refuse(message);
    else if (reply !== undefined) this.hold(message.id, reply);
    else if (this.failure && Date.now() - this.failedAt < this.times.againMs) this.refuse(message);
    else {
      this.waiting.set(message.id, { message, since: Date.now() });
      if (this.failure) this.try();
    }
  }

  hold(id, reply) {
    if (!this.opened) this.held.push({ id, reply });
    else this.answer(id, reply);
  }

  answer(id, reply) {
    this.answered.add(id);
    this.say({ id, ...reply });
  }

  /** From now on the client is told that all is well. */
  open() {
    if (this.opened || this.handed) return;
    this.opened = true;
    for (const { id, reply } of this.held.splice(0)) this.answer(id, reply);
  }

  forget(id) {
    this.waiting.delete(id);
    this.kept = this.kept.filter((entry) => entry.id !== id);
  }

  cancelled({ params }) {
    const id = params && params.requestId;
    if (!this.waiting.has(id)) return false;
    this.forget(id);
    return true;
  }

  /** An error with words that help: as a tool's result where it is a tool's call, which is what agents read. */
  refuse(message, why = this.failure) {
    this.forget(message.id);
    const text = `internvl-mcp: ${why.what} ${why.next}`;
    if (message.method === 'tools/call' && this.opened) this.say({ id: message.id, result: this.recorded.excuse(text) });
    else this.say({ id: message.id, error: { code: SERVER_ERROR, message: text, data: { code: why.code, hint: why.next } } });
    if (why === this.failure && !this.opened) this.linger();
  }

  progress() {
    const now = Date.now();
    for (const { message, since } of [...this.waiting.values()]) {
      const token = message.params && message.params._meta && message.params._meta.progressToken;
      if (now - since >= this.times.callMs && message.method !== 'subscriptions/listen') {
        this.refuse(message, {
          code: 'INSTALLING', what: `It is still being installed on this computer, which happens once: ${inWords(this.said)}.`, next: 'Call again in half a minute.',
        });
      } else if (token !== undefined) {
        // Below whatever the server reports later for the same call: progress only grows.
        const params = { progressToken: token, progress: (now - since) / 1e6, message: `Setting up, once: ${inWords(this.said)}` };
        this.say({ method: 'notifications/progress', params });
      }
    }
  }

  fail(failure) {
    Object.assign(this, { failure, failedAt: Date.now() });
    process.stderr.write(`internvl-mcp: ${failure.what}\n${failure.next}\n`);
    const asked = [...this.held.splice(0).map(({ id }) => this.kept.find((entry) => entry.id === id)), ...[...this.waiting.values()].map(({ message }) => message)];
    for (const message of asked) this.refuse(message);
    // Nobody has been told that all is well: ends when the client has heard, or says nothing.
    if (!this.opened && asked.length === 0) setTimeout(this.leave, this.times.silentMs);
  }

  linger() {
    clearTimeout(this.lingering);
    this.lingering = setTimeout(this.leave, this.times.lingerMs);
  }

  end(status) {
    if (this.handed) return;
    process.stdout.write('', () => process.exit(status));
  }

  /** The server runs: it hears everything so far, then the client itself. */
  handOver() {
    this.handed = true;
    clearInterval(this.timer);
    clearTimeout(this.lingering);
    process.stdin.removeListener('data', this.listen).removeListener('end', this.leave).removeListener('error', this.leave);
    const child = startProgram(this.place, this.words, ['pipe', 'pipe', 'pipe']);
    let last = '';
    child.stderr.on('data', (text) => { last = `${last}${text}`.slice(-1000); process.stderr.write(text); });
    child.stdin.on('error', () => {}); // it ended: its exit says so
    child.on('error', (error) => { last = error.message; this.over(child, 1, null, last); });
    this.passBack(child);
    for (const { line } of this.kept) child.stdin.write(line);
    child.stdin.write(this.lines.rest);
    process.stdin.pipe(child.stdin);
    child.on('close', (code, signal) => this.over(child, code, signal, last));
  }

  /** The server's words, without its answers to what was answered already. */
  passBack(child) {
    const open = new Set(this.kept.filter(({ id }) => id !== undefined).map(({ id }) => id));
    this.unanswered = open;
    const through = () => {
      child.stdout.removeListener('data', take);
      process.stdout.write(lines.rest);
      child.stdout.pipe(process.stdout, { end: false });
    };
    const lines = new Lines((line) => {
      const message = this.answered.size > 0 || open.size > 0 ? parsed(line) : null;
      const reply = message && message.method === undefined && message.id !== undefined;
      if (reply) open.delete(message.id);
      if (!(reply && this.answered.delete(message.id))) process.stdout.write(line);
    });
    const take = (chunk) => {
      lines.take(chunk);
      if (this.answered.size === 0) through();
    };
    if (this.answered.size === 0) through();
    else child.stdout.on('data', take);
  }

  over(child, code, signal, last) {
    if (this.answered.size > 0) {
      // It never got as far as answering: a bad setting, say, which it told on standard error.
      const what = `The server ended at once (${signal || `status ${code}`}). ${last.trim().split('\n').slice(-3).join(' ')}`;
      for (const id of this.unanswered) {
        if (!this.answered.has(id)) this.say({ id, error: { code: SERVER_ERROR, message: `internvl-mcp: ${what}`, data: { code: 'SERVER_ENDED' } } });
      }
    }
    process.stdout.write('', () => mirror(code, signal));
  }
}

const serve = (place, words, times = {}) => new StandIn(place, words, { ...TIMES, ...times }).serve();

module.exports = { serve };
