// HTTP, through the host's egress policy. Nothing is sent before send(); a mistake on the way is thrown by it.

import { backend } from "./backend.js";
import { checkMilliseconds } from "./durations.js";
import { Failure, Malformed, Other, TimedOut, Unavailable } from "./failure.js";
import { Response } from "./response.js";
import * as url from "./url.js";
import { bytesOf } from "./utf8.js";

/** The most requests that the host takes at once. */
const SEND_ALL_MAX = 64;

/** A GET of a URL; see Request.path for what may stand in it. */
export const get = (address) => new Request("GET", address);
/** A HEAD of a URL. */
export const head = (address) => new Request("HEAD", address);
/** A POST to a URL. */
export const post = (address) => new Request("POST", address);
/** A PUT to a URL. */
export const put = (address) => new Request("PUT", address);
/** A request of any method, in capitals. */
export const request = (method, address) => new Request(method, address);

/** The contract's shape of a request; set by the class, which alone sees its fields. Not a method: it is nothing to an author. */
let prepare;

/** A request being built; each method answers the request itself. */
export class Request {
  #method;
  #template;
  #values = new Map();
  #query = [];
  #headers = [];
  #body = null;
  #credentials = [];
  #timeoutMs = null;
  #problem;

  constructor(method, address) {
    this.#method = method;
    this.#template = String(address);
  }

  /** Fills `{name}` in the URL's path or query; the value is percent-encoded whole. */
  path(name, value) {
    this.#values.set(name, String(value));
    return this;
  }

  /** Appends a path to the URL, with one slash between; it may hold placeholders. */
  join(path) {
    return this.#attempt(() => {
      this.#template = url.join(this.#template, path);
    });
  }

  /** Adds `name=value` to the query, both percent-encoded. */
  query(name, value) {
    this.#query.push([name, String(value)]);
    return this;
  }

  /** Adds a header. Only the host sets Authorization, Host, Cookie and similar headers. */
  header(name, value) {
    this.#headers.push([name, String(value)]);
    return this;
  }

  /** Lets the host apply a credential of provider.toml, one after another where there are more; no secret enters the provider. */
  credential(name) {
    this.#credentials.push(name);
    return this;
  }

  /** Gives this request less time than the whole call has, in milliseconds. */
  timeout(milliseconds) {
    this.#timeoutMs = Math.max(0, Math.floor(checkMilliseconds("timeout", milliseconds)));
    return this;
  }

  /** Sets the body, text or bytes, and its media type. */
  body(contentType, body) {
    this.#headers = this.#headers.filter(([name]) => name.toLowerCase() !== "content-type");
    this.#headers.push(["content-type", contentType]);
    this.#body = bytesOf(body);
    return this;
  }

  /** Sets the body to a value as JSON. */
  json(value) {
    return this.#attempt(() => {
      const text = JSON.stringify(value);
      if (text === undefined) throw new TypeError(`${typeof value} is not JSON`);
      this.body("application/json", text);
    });
  }

  /** Sets the body to a form (`application/x-www-form-urlencoded`): an object, or pairs. */
  form(fields) {
    const pairs = Array.isArray(fields) ? fields : Object.entries(fields);
    return this.body("application/x-www-form-urlencoded", url.encodePairs(pairs));
  }

  /** Sends the request and waits for its whole answer, of whatever status; throws a Failure where there is none. */
  send() {
    const prepared = prepare(this);
    try {
      return new Response(prepared.method, backend().send(prepared));
    } catch (error) {
      throw failureOf(error);
    }
  }

  #attempt(step) {
    try {
      step();
    } catch (error) {
      this.#problem ??=
        error instanceof Failure ? error : new Other("invalid-request", `the body has no form in JSON: ${error.message}`);
    }
    return this;
  }

  static {
    prepare = (request) => {
      if (request.#problem !== undefined) throw request.#problem;
      return {
        method: request.#method,
        url: url.build(request.#template, request.#values, request.#query),
        headers: request.#headers,
        body: request.#body,
        credentials: request.#credentials,
        timeoutMs: request.#timeoutMs,
        extras: [],
      };
    };
  }
}

/**
 * Sends several requests and waits for all; answers come in the order of the requests, a Response or the Failure that took its
 * place. A request that cannot be built has its failure there, and the others are sent.
 */
export function sendAll(requests) {
  const answers = [];
  const ready = [];
  for (const request of requests) {
    try {
      ready.push({ index: answers.length, prepared: prepare(request) });
      answers.push(undefined);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      answers.push(error);
    }
  }
  for (let from = 0; from < ready.length; from += SEND_ALL_MAX) {
    const part = ready.slice(from, from + SEND_ALL_MAX);
    const results = backend().sendAll(part.map(({ prepared }) => prepared));
    part.forEach(({ index, prepared }, at) => {
      const result = results[at] ?? { tag: "err", val: { tag: "other", val: "the host gave fewer answers than requests" } };
      answers[index] = result.tag === "ok" ? new Response(prepared.method, result.val) : failureOf(result.val);
    });
  }
  return answers;
}

/** The failure for an error of the contract's `http`; anything else stays as it is. */
function failureOf(error) {
  const make = ERRORS[error?.tag];
  return make === undefined ? error : make(error.val);
}

// Neither `denied` nor `invalid` is `rejected`: both are the provider's or its manifest's mistake, and `rejected` would make a
// dead letter of every item at once, while after a mend they may all succeed.
const ERRORS = {
  denied: (reason) => new Other("denied", `refused by the egress policy: ${reason}`),
  invalid: (reason) => new Other("invalid-request", `not a valid request: ${reason}`),
  unreachable: (reason) => new Unavailable(`no connection: ${reason}`),
  broken: (reason) => new Unavailable(`the connection broke: ${reason}`),
  "timed-out": () => new TimedOut("no whole answer in time"),
  "too-large": (limit) => new Malformed(`the answer is larger than the limit of ${limit} bytes`),
  redirects: (reason) => new Malformed(`redirects that lead nowhere: ${reason}`),
  other: (reason) => new Other("http", reason),
};
