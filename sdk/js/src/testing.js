// A scripted API, for an author's own tests: the provider function runs under node, and sees what it sees in a component. The script
// says which requests are expected, in order, and how each is answered. An unexpected request fails the test, with the difference.

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { cwd } from "node:process";

import { install } from "./backend.js";
import { asInAComponent } from "./guard.js";
import { credentialNames, unknownCredential } from "./manifest-credentials.js";
import { decode, bytesOf } from "./utf8.js";

export { FetchRequest } from "./record.js";

/** The contract's bounds on what a provider may cache. */
const CACHE_KEY_BYTES = 256;
const CACHE_VALUE_BYTES = 64 * 1024;
/** Headers that the host sets. */
const THE_HOSTS = new Set([
  "host", "authorization", "cookie", "connection", "content-length", "transfer-encoding", "upgrade", "te", "proxy",
]);
/** RFC 9110's `token`. */
const TOKEN = /^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/;

/** A scripted API, and the host around it. */
export class Api {
  #expected = [];
  #config = new Map();
  #cache = new Map();
  #signatures = new Map();
  #problem;
  #credentials;
  #guarded;
  /** The messages logged so far. */
  logged = [];
  /** How many requests were sent so far. */
  requestsSent = 0;

  /**
   * A request may name the credentials of `manifest`, a path; by default of the provider.toml in the working folder or above.
   * `guarded: false` shows the function all that node has, for a debugger.
   */
  constructor({ manifest = nearestManifest(), guarded = true } = {}) {
    this.#credentials = credentialNames(manifest === undefined ? undefined : readFileSync(manifest, "utf8"));
    this.#guarded = guarded;
  }

  /** Sets a key of provider.toml's `[config]`; a key that is not set is not listed. */
  config(key, value) {
    this.#config.set(key, value);
    return this;
  }

  /** Sets what `sign` gives for a credential, whatever is signed. */
  signature(credential, bytes) {
    this.#signatures.set(credential, Uint8Array.from(bytes));
    return this;
  }

  /** Expects a GET of exactly this URL, after what is expected already. */
  get(url) {
    return this.expect("GET", url);
  }

  /** Expects a POST to exactly this URL, after what is expected already. */
  post(url) {
    return this.expect("POST", url);
  }

  /** Expects a request of any method to exactly this URL, after what is expected already. */
  expect(method, url) {
    return new Expectation(this, this.#expected, method, url);
  }

  /** Forgets what was cached, as the host does when a call failed as `unauthorized`. */
  clearCache() {
    this.#cache.clear();
    return this;
  }

  /** Runs a provider function, or anything else of the SDK, against the script; throws where the two differ. */
  run(test) {
    this.#problem = undefined;
    const before = install(this.#host());
    let result;
    try {
      result = this.#guarded ? asInAComponent(test, (level, message) => this.logged.push([level, message])) : test();
    } catch (error) {
      throw this.#problem ?? error;
    } finally {
      install(before);
    }
    // Also where the provider caught it.
    if (this.#problem !== undefined) throw this.#problem;
    if (this.#expected.length > 0) {
      const [next] = this.#expected;
      throw new Error(`${this.#expected.length} request(s) not sent; the next, ${next.method} ${next.url}, was not sent`);
    }
    return result;
  }

  #host() {
    return {
      send: (request) => this.#send(request),
      sendAll: (requests) => requests.map((request) => {
        try {
          return { tag: "ok", val: this.#send(request) };
        } catch (error) {
          if (error?.tag === undefined) throw error;
          return { tag: "err", val: error };
        }
      }),
      log: (level, message) => this.logged.push([level, message]),
      configGet: (key) => this.#config.get(key) ?? null,
      sign: (credential) => {
        const bytes = this.#signatures.get(credential);
        if (bytes === undefined) throw { tag: "no-such-credential", val: credential };
        return bytes;
      },
      cacheGet: (key) => this.#cache.get(key) ?? null,
      cacheRemove: (key) => this.#cache.delete(key),
      cachePut: (key, value) => {
        if (bytesOf(key).length <= CACHE_KEY_BYTES && value.length <= CACHE_VALUE_BYTES) this.#cache.set(key, value);
      },
    };
  }

  #send(request) {
    const refused = refusal(request.headers) ?? unknownCredential(request.credentials, this.#credentials);
    if (refused !== undefined) throw { tag: "invalid", val: refused };
    this.requestsSent += 1;
    const expected = this.#expected.shift();
    if (expected === undefined) {
      throw this.#fail(`the script expects no further request, but the provider sent ${request.method} ${request.url}`);
    }
    const lines = differences(expected, request);
    if (lines.length > 0) {
      throw this.#fail(`the provider sent another request than the script expects:\n${lines.join("\n")}`);
    }
    if (expected.error !== undefined) throw expected.error;
    return { url: request.url, durationMs: 1, extras: [], ...expected.answer };
  }

  #fail(message) {
    this.#problem ??= new Error(message);
    return this.#problem;
  }
}

/** The provider.toml that a test which runs here is of. */
function nearestManifest() {
  for (let folder = cwd(); ; folder = dirname(folder)) {
    const path = join(folder, "provider.toml");
    if (existsSync(path)) return path;
    if (folder === dirname(folder)) return undefined;
  }
}

/** An expected request being described; `answers` or `fails` ends it. */
class Expectation {
  #api;
  #script;
  #expected;
  #answerHeaders = [];
  #answerUrl;

  constructor(api, script, method, url) {
    this.#api = api;
    this.#script = script;
    this.#expected = { method, url, headers: [], credentials: [], body: undefined };
  }

  /** Expects a header of this value; headers that are not mentioned are not looked at. */
  header(name, value) {
    this.#expected.headers.push([name, value]);
    return this;
  }

  /** Expects the host to be asked for a credential, and after it for each further one. Without this, for none. */
  credential(name) {
    this.#expected.credentials.push(name);
    return this;
  }

  /** Expects exactly this body. Without this, the body is not looked at. */
  body(body) {
    this.#expected.body = decode(bytesOf(body));
    return this;
  }

  /** Gives the answer a header. */
  answerHeader(name, value) {
    this.#answerHeaders.push([name.toLowerCase(), value]);
    return this;
  }

  /** Lets the answer come from another URL, as after redirects. */
  answerUrl(url) {
    this.#answerUrl = url;
    return this;
  }

  /** Answers with a status and a body; answers the Api. */
  answers(status, body = "") {
    const answer = { status, headers: this.#answerHeaders, body: bytesOf(body) };
    if (this.#answerUrl !== undefined) answer.url = this.#answerUrl;
    this.#script.push({ ...this.#expected, answer });
    return this.#api;
  }

  /** Gives no answer, but an error of the contract: "timed-out", "unreachable" and so on. */
  fails(tag, value = tag) {
    this.#script.push({ ...this.#expected, error: { tag, val: value } });
    return this.#api;
  }
}

/** Each point in which a request is not the expected one, as a line of its own. */
function differences(expected, request) {
  const lines = [];
  const compare = (what, wanted, sent) => {
    if (wanted !== sent) lines.push(`  ${what}: expected ${JSON.stringify(wanted)}, sent ${JSON.stringify(sent)}`);
  };
  compare("method", expected.method, request.method);
  compare("URL", expected.url, request.url);
  for (const [name, value] of expected.headers) {
    const sent = request.headers.filter(([known]) => known.toLowerCase() === name.toLowerCase()).map(([, sent]) => sent);
    if (!sent.includes(value)) compare(`header ${name}`, value, sent.join(", "));
  }
  compare("credentials", named(expected.credentials), named(request.credentials));
  if (expected.body !== undefined) compare("body", expected.body, decode(request.body ?? new Uint8Array()));
  return lines;
}

const named = (credentials) => credentials.join(", ") || "(none)";

/** Why the host would not take a request, so that a test finds out before it does. */
function refusal(headers) {
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    if (THE_HOSTS.has(lower) || lower.startsWith("proxy-")) return `only the host sets the header ${name}`;
    if (!TOKEN.test(name)) return `${JSON.stringify(name)} is not a header name`;
    if (/[\r\n\0]/.test(value)) return `the value of header ${name} holds a line break or NUL`;
  }
  return undefined;
}
