// The component's side of the contract: from the host's call to the author's function and back. `damper build` bundles it.

import { install, life } from "./backend.js";
import { PROMISE, describe } from "./exception.js";
import { Failure, NotReady, Other } from "./failure.js";
import { FetchRequest, Record } from "./record.js";

/** The kinds of the contract; any other name is `other`. */
const KINDS = new Set([
  "throttled", "unavailable", "timed-out", "unauthorized", "not-found", "rejected", "malformed",
]);

/**
 * The component's export, of the author's module and the contract's two imports. A Failure is the contract's failure. Any other
 * exception is a defect of the provider: `other("exception")`, which the host treats as a trap. It is not thrown on, because the
 * engine would write a panic beside it.
 */
export function component(provider, http, host) {
  const { fetchRecord } = provider;
  if (typeof fetchRecord !== "function") throw new Error("the provider's module exports no function fetchRecord");
  install({
    send: (request) => answered(() => http.send(request)),
    sendAll: (requests) => http.sendAll(requests),
    log: (level, message) => host.log(level, message),
    configGet: (key) => host.configGet(key),
    sign: (credential, algorithm, payload) => answered(() => host.sign(credential, algorithm, payload)),
    cacheGet: (key) => host.cacheGet(key),
    cachePut: (key, value, ttlMs) => host.cachePut(key, value, ttlMs),
    cacheRemove: (key) => host.cacheRemove(key),
  });
  return (request) => {
    life.isCalled = true;
    try {
      return recordOut(fetchRecord(new FetchRequest(request.id, { ...request, params: Object.fromEntries(request.params) })));
    } catch (error) {
      const failure = error instanceof Failure ? error : new Other("exception", describe(error, globalThis.damperSourceMap));
      throw failureOut(failure);
    }
  };
}

/** The result of an import; its error is thrown as the contract has it, which the engine wraps into an Error. */
function answered(call) {
  try {
    return call();
  } catch (error) {
    throw error?.payload ?? error;
  }
}

function recordOut(record) {
  if (typeof record?.then === "function") throw new TypeError(PROMISE);
  if (!(record instanceof Record)) throw new TypeError("fetchRecord answered something that is no Record");
  const { contentType, body, attributes } = record;
  return { contentType, body, attributes: Object.entries(attributes), extras: [] };
}

function failureOut(failure) {
  const { kind, message, retryAfterMs, status } = failure;
  return {
    kind: failure instanceof NotReady ? { tag: "not-ready", val: failure.resume } : KINDS.has(kind) ? { tag: kind } : { tag: "other", val: String(kind) },
    message: String(message),
    retryAfterMs: retryAfterMs === undefined ? null : Math.max(0, Math.floor(retryAfterMs)),
    status: status ?? null,
    extras: [],
  };
}
