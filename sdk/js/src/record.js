// The item to fetch, and a record as the API gave it.

import { Malformed, Rejected } from "./failure.js";
import { bytesOf, decode } from "./utf8.js";

const JSON_TYPE = "application/json";

/** One record to fetch. */
export class FetchRequest {
  /** The first attempt at a record, for tests: the host makes the real ones. */
  constructor(id, { params = {}, attempt = 1, day = "2026-01-01", deadlineMs = 30_000, resume, extras = [] } = {}) {
    this.id = id;
    this.params = params;
    this.attempt = attempt;
    this.day = day;
    this.deadlineMs = deadlineMs;
    this.resume = resume === undefined || resume === null ? undefined : bytesOf(resume);
    this.extras = extras;
  }

  /** The resume state as text; `Malformed` where it is not UTF-8. */
  get resumeText() {
    if (this.resume === undefined) return undefined;
    try {
      return decode(this.resume);
    } catch {
      throw new Malformed("the resume state is not UTF-8");
    }
  }

  /** A parameter of the item, if it has it. */
  param(name) {
    return Object.hasOwn(this.params, name) ? this.params[name] : undefined;
  }

  /** A parameter without which the record cannot be fetched; `Rejected` where the item lacks it. */
  requiredParam(name) {
    const value = this.param(name);
    if (value === undefined) throw new Rejected(`the item has no parameter \`${name}\``);
    return value;
  }
}

/** A record: a body with its media type, and small facts beside it. */
export class Record {
  /** A record of any media type; the body is text or bytes. */
  constructor(contentType, body, attributes = {}) {
    this.contentType = contentType;
    this.body = bytesOf(body);
    this.attributes = { ...attributes };
  }

  /** A JSON answer as it came, byte for byte, once it is sure that it is JSON; else `Malformed`. */
  static json(answer) {
    answer.json();
    const given = answer.header("content-type");
    return new Record(given !== undefined && isJson(given) ? given : JSON_TYPE, answer.body);
  }

  /** A value of one's own, as JSON: for a record put together from several answers, or a part of one. */
  static fromValue(value) {
    const text = JSON.stringify(value);
    if (text === undefined) throw new Malformed(`the record has no form in JSON: it is ${typeof value}`);
    return new Record(JSON_TYPE, text);
  }

  /** An answer as it came, with its own content type and unread. */
  static raw(answer) {
    return new Record(answer.header("content-type") ?? "application/octet-stream", answer.body);
  }

  /** Plain text. */
  static text(text) {
    return new Record("text/plain; charset=utf-8", text);
  }

  /** The same record with a small fact to store beside the body: a revision, a date. */
  withAttribute(name, value) {
    return new Record(this.contentType, this.body, { ...this.attributes, [name]: String(value) });
  }
}

/** Whether a content type is JSON: `application/json`, `text/json`, or a suffix `+json` (RFC 6839). */
function isJson(contentType) {
  const essence = contentType.split(";")[0].trim().toLowerCase();
  return essence === JSON_TYPE || essence === "text/json" || essence.endsWith("+json");
}
