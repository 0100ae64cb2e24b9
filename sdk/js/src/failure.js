// Why there is no record: one class a kind of the contract. Throwing one ends the call with it.

import { checkMilliseconds } from "./durations.js";
import { bytesOf } from "./utf8.js";

/** Why there is no record; throw one of the classes below, which name the kinds. */
export class Failure extends Error {
  constructor(kind, message, options = {}) {
    super(message);
    checkOptions(options);
    this.name = new.target.name;
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs;
    this.status = options.status;
  }
}

/** The options of a failure; a misspelt one would be a wait that nobody keeps. */
const OPTIONS = ["retryAfterMs", "status"];

function checkOptions(options) {
  for (const name of Object.keys(options)) {
    if (!OPTIONS.includes(name)) {
      const hint = /retry|wait/i.test(name) ? "; the wait is retryAfterMs, in milliseconds" : `; there are ${OPTIONS.join(" and ")}`;
      throw new TypeError(`a failure has no option ${name}${hint}`);
    }
  }
  if (options.retryAfterMs !== undefined) checkMilliseconds("retryAfterMs", options.retryAfterMs);
}

/** The API asks for fewer requests. No attempt is spent; everything to this API waits. */
export class Throttled extends Failure {
  constructor(message, options) {
    super("throttled", message, options);
  }
}

/** The API does not work. Retried; an attempt is spent only where other items succeed at the same time. */
export class Unavailable extends Failure {
  constructor(message, options) {
    super("unavailable", message, options);
  }
}

/** The API did not answer in time. Treated like `Unavailable`. */
export class TimedOut extends Failure {
  constructor(message, options) {
    super("timed-out", message, options);
  }
}

/** The API does not accept the credential. The provider stops until an operator has seen to it. */
export class Unauthorized extends Failure {
  constructor(message, options) {
    super("unauthorized", message, options);
  }
}

/** The API has no such record. Final. */
export class NotFound extends Failure {
  constructor(message, options) {
    super("not-found", message, options);
  }
}

/** The request cannot succeed, now or later: for instance an id of the wrong shape. Final. */
export class Rejected extends Failure {
  constructor(message, options) {
    super("rejected", message, options);
  }
}

/** The answer cannot be read. Retried a few times. */
export class Malformed extends Failure {
  constructor(message, options) {
    super("malformed", message, options);
  }
}

/**
 * The API has taken the order, and the record is not ready yet. No attempt is spent. The next call for this item gets `resume`,
 * text or bytes, at most 4 KiB: the order's number, for instance.
 */
export class NotReady extends Failure {
  constructor(message, { resume = "", ...options } = {}) {
    super("not-ready", message, options);
    this.resume = bytesOf(resume);
  }
}

/** Anything else, by a name of your own. Treated like `Malformed`. */
export class Other extends Failure {
  constructor(name, message, options) {
    super(name, message, options);
  }
}
