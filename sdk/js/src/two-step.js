// APIs that take an order first, and have its record later: see index.d.ts.

import { Malformed, NotReady } from "./failure.js";
import * as ids from "./ids.js";
import { Record } from "./record.js";
import { encode } from "./utf8.js";

/** The API has taken an order. */
class Ordered {
  constructor(order, retryAfterMs) {
    // A field that is missing would be polled as "undefined".
    const isText = typeof order === "string" && order !== "";
    if (!isText && !Number.isFinite(order)) throw new Malformed("the API's answer to an order does not name the order");
    this.order = String(order);
    this.retryAfterMs = retryAfterMs;
  }
}

/** The record of an order is not ready. */
class Pending {
  constructor(retryAfterMs) {
    this.retryAfterMs = retryAfterMs;
  }
}

const forgotten = Symbol("forgotten");

function notReady(order, times, retryAfterMs) {
  const resume = JSON.stringify({ order, forgotten: times });
  return new NotReady("the API has taken the order, and its record is not ready", { resume, retryAfterMs });
}

/** The order of an item's earlier call; undefined where there is none that can be read. */
function orderOf(request) {
  try {
    const { order, forgotten: times } = JSON.parse(request.resumeText);
    return typeof order === "string" && Number.isInteger(times) ? { order, times } : undefined;
  } catch {
    return undefined;
  }
}

export const twoStep = {
  forgotten,

  ordered(order, retryAfterMs) {
    return new Ordered(order, retryAfterMs);
  },

  pending(retryAfterMs) {
    return new Pending(retryAfterMs);
  },

  fetch(request, { place, poll }) {
    const known = request.resume === undefined ? undefined : orderOf(request);
    let times = 0;
    if (known !== undefined) {
      const polled = poll(known.order);
      if (polled instanceof Record) return polled;
      if (polled instanceof Pending) throw notReady(known.order, known.times, polled.retryAfterMs);
      if (polled !== forgotten) throw new TypeError("poll returned neither a Record, nor pending(), nor forgotten");
      times = known.times + 1;
    }
    const placed = place(twoStep.idempotencyKey(request, times));
    if (placed instanceof Record) return placed;
    if (!(placed instanceof Ordered)) throw new TypeError("place returned neither a Record nor ordered()");
    throw notReady(placed.order, times, placed.retryAfterMs);
  },

  idempotencyKey(request, times = 0) {
    const params = Object.entries(request.params).sort(([one], [other]) => compare(encode(one), encode(other))).flat();
    const parts = ["damper order", request.id, ...params, request.day, String(times)];
    return ids.uuidV5(ids.NAMESPACE_URL, parts.map((part) => `${encode(part).length}:${part},`).join(""));
  },
};

/** By bytes, as the host sorts parameters. */
function compare(one, other) {
  for (let at = 0; at < Math.min(one.length, other.length); at += 1) {
    if (one[at] !== other[at]) return one[at] - other[at];
  }
  return one.length - other.length;
}
