// Write a Damper provider: a module that exports one plain function, `fetchRecord(request)`. See README.md.

export {
  Failure, Malformed, NotFound, NotReady, Other, Rejected, Throttled, TimedOut, Unauthorized, Unavailable,
} from "./failure.js";
export { Signature, cache, config, log, sign } from "./host.js";
export { Request, get, head, post, put, request, sendAll } from "./http.js";
export * as ids from "./ids.js";
export * as json from "./json.js";
export { FetchRequest, Record } from "./record.js";
export { Response } from "./response.js";
export { text } from "./encodings.js";
export * as xml from "./xml.js";
export { twoStep } from "./two-step.js";
