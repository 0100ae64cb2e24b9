// What to use in place of what node and browsers have and a component does not.

const TIMER = "a provider never waits: throw Throttled or Unavailable with retryAfterMs, and Damper calls again";
const REQUEST = "use get, post or request of damper-sdk";
const URLS = "build addresses with join, path and query of a request";
const NO_FILES = "a component has no files: import data at the top of the file (a .json module)";

/** By the name that is missing. */
const INSTEAD = {
  fetch: REQUEST, XMLHttpRequest: REQUEST, Request: REQUEST, Response: REQUEST, Headers: REQUEST, FormData: "use form of a request",
  WebSocket: REQUEST, EventSource: REQUEST,
  URL: URLS, URLSearchParams: URLS,
  setTimeout: TIMER, setInterval: TIMER, setImmediate: TIMER, clearTimeout: TIMER, clearInterval: TIMER, clearImmediate: TIMER,
  crypto: "use sign for an HMAC, ids.sha256Hex for a hash, ids.uuidV5 for an id",
  Buffer: "use Uint8Array, text.decode, btoa and atob",
  structuredClone: "copy with JSON.parse(JSON.stringify(value))",
  process: "settings are in config of damper-sdk", require: NO_FILES, __dirname: NO_FILES, __filename: NO_FILES,
  Intl: "write numbers with toFixed and times with toISOString", Temporal: "use Date, in UTC",
  DOMParser: "use xml.parse of damper-sdk", AbortController: "use timeout of a request", AbortSignal: "use timeout of a request",
  Blob: "use Uint8Array", File: "use Uint8Array", ReadableStream: "an answer is whole when it is there",
  global: "use globalThis", window: "use globalThis", self: "use globalThis", navigator: "a component knows no machine",
  WebAssembly: "a component runs no other", Atomics: "a component has one thread", Worker: "use sendAll for requests side by side",
};

/** `; a component has no fetch: use get, post ...` for the message of a ReferenceError of an engine; else undefined. */
export function insteadOf(error) {
  const missing = /^'?([A-Za-z_]\w*)'? is not defined$/.exec(error?.message ?? "")?.[1];
  if (!(error instanceof ReferenceError) || !Object.hasOwn(INSTEAD, missing ?? "")) return undefined;
  return `a component has no ${missing}: ${INSTEAD[missing]}`;
}

/** Modules of node's own that people import without `node:`. */
const NODES = new Set((
  "assert async_hooks buffer child_process cluster console crypto dgram dns events fs http http2 https module net os path " +
  "perf_hooks process querystring readline stream string_decoder timers tls tty url util v8 vm worker_threads zlib"
).split(" "));

/** Whether a module is node's own. */
export function isNodes(name) {
  return name.startsWith("node:") || NODES.has(name.split("/")[0]);
}
