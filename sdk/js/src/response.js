// One whole answer, and what its status means.

import * as encodings from "./encodings.js";
import { Malformed, NotFound, Rejected, Throttled, TimedOut, Unauthorized, Unavailable } from "./failure.js";
import * as json from "./json.js";
import * as retryAfter from "./retry-after.js";
import { bodyExcerpt } from "./text.js";
import { decode } from "./utf8.js";
import * as xml from "./xml.js";

/** Headers in which APIs say when they count requests anew. */
const RATE_LIMIT_RESETS = ["ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"];
/** The reason phrase of a status (RFC 9110 and 6585); nothing for the less usual. */
const REASONS = new Map([
  [301, "Moved Permanently"], [302, "Found"], [304, "Not Modified"], [400, "Bad Request"], [401, "Unauthorized"],
  [403, "Forbidden"], [404, "Not Found"], [405, "Method Not Allowed"], [406, "Not Acceptable"], [408, "Request Timeout"],
  [409, "Conflict"], [410, "Gone"], [415, "Unsupported Media Type"], [422, "Unprocessable Content"],
  [429, "Too Many Requests"], [500, "Internal Server Error"], [502, "Bad Gateway"], [503, "Service Unavailable"],
  [504, "Gateway Timeout"],
]);

/** One whole answer, of whatever status. */
export class Response {
  #method;

  constructor(method, { status, headers, body, url, durationMs }) {
    this.#method = method;
    this.status = status;
    this.headers = headers;
    this.body = body;
    this.url = url;
    this.durationMs = durationMs;
  }

  /** The first header of a name, in whatever case. */
  header(name) {
    const wanted = name.toLowerCase();
    return this.headers.find(([known]) => known.toLowerCase() === wanted)?.[1];
  }

  /** The body as text, by its byte order mark, its charset, or as UTF-8; `Malformed` where it is not in that encoding. */
  text() {
    return this.#read(() => encodings.decode(this.body, this.header("content-type")));
  }

  /** The body parsed as XML, in its encoding; `Malformed` where it is not well-formed, or refused. */
  xml() {
    return this.#read(() => xml.parse(this.body, this.header("content-type")));
  }

  /** The body parsed as JSON; `Malformed` where it is none. */
  json() {
    try {
      return json.parse(decode(this.body));
    } catch (error) {
      const reason = error instanceof Malformed ? error.message : "not the expected JSON: not UTF-8";
      throw new Malformed(`${this.#place()}: ${reason}`, { status: this.status });
    }
  }

  /** How long the API asks to be left alone (Retry-After), in milliseconds from now. */
  get retryAfterMs() {
    const value = this.header("retry-after");
    return value === undefined ? undefined : retryAfter.parse(value, this.header("date"), Date.now);
  }

  /** How long until the API counts requests anew, in milliseconds from now. It does not say that there were too many. */
  get rateLimitResetMs() {
    const name = RATE_LIMIT_RESETS.find((each) => this.header(each) !== undefined);
    return name === undefined ? undefined : retryAfter.reset(this.header(name), this.header("date"), Date.now);
  }

  /** This answer if its status is 2xx; else throws the failure that the status stands for. */
  ok() {
    if (this.status >= 200 && this.status <= 299) return this;
    const kind = kindOf(this.status);
    let wait;
    if (kind === Throttled) wait = this.retryAfterMs ?? this.rateLimitResetMs;
    if (kind === Unavailable) wait = this.retryAfterMs;
    const reason = REASONS.get(this.status);
    const excerpt = bodyExcerpt(this.body);
    const message = `${this.#place()} answered ${this.status}${reason ? ` ${reason}` : ""}${excerpt ? `: ${excerpt}` : ""}`;
    throw new kind(message, { status: this.status, retryAfterMs: wait });
  }

  #read(read) {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      throw new Malformed(`${this.#place()}: ${error.message}`, { status: this.status });
    }
  }

  /** Method and URL; the query stays out, since it is where APIs put keys. */
  #place() {
    return `${this.#method} ${this.url.split(/[?#]/)[0]}`;
  }
}

function kindOf(status) {
  if (status === 429) return Throttled;
  if (status === 408) return TimedOut;
  if (status === 401 || status === 403 || status === 407) return Unauthorized;
  if (status === 404 || status === 410) return NotFound;
  if (status >= 400 && status <= 499) return Rejected;
  if (status >= 500 && status <= 599) return Unavailable;
  return Malformed;
}
