// Describes an exception that a provider did not handle, for the failure of its call: type, message, the author's file and line.

import { insteadOf, isNodes } from "./instead.js";
import { find } from "./source-map.js";
import { excerpt } from "./text.js";

/** How many calls are named; a deep recursion has thousands. */
const FRAMES = 4;
/** What is said of an `async` function. */
export const PROMISE =
  "fetchRecord answered a promise; the host waits for it, so async gains nothing: make it plain, and import at the top";
/** A line of the engine's stack: `at name (file:line:column)`. */
const FRAME = /^\s*at (.*?) \(.*:(\d+):(\d+)\)$/;
/** What a bundle throws for a `require` of a name that was not known while it was built. */
const REQUIRE = /^Dynamic require of "(.*)" is not supported$/;

/** `TypeError: cannot read property 'id' of undefined at src/provider.js:7 in helper, called at src/provider.js:12 in fetchRecord`. */
export function describe(error, map) {
  if (!(error instanceof Error)) return `the provider threw something that is no Error: ${excerpt(shown(error))}`;
  const message = excerpt(String(error.message));
  const name = excerpt(String(error.name));
  const places = authorFrames(String(error.stack ?? ""), map);
  const place = places.length > 0 ? ` at ${places.slice(0, FRAMES).join(", called at ")}` : "";
  const hint = insteadOf(error) ?? hintFor(String(error.message));
  return `${name}${message === "" ? "" : `: ${message}`}${place}${hint === undefined ? "" : `; ${hint}`}`;
}

/** The author's lines of a stack, the innermost first. */
function authorFrames(stack, map) {
  if (map === undefined) return [];
  const places = [];
  for (const line of stack.split("\n")) {
    const frame = FRAME.exec(line);
    if (frame === null) continue;
    const place = find(map, Number(frame[2]), Number(frame[3]));
    if (place === undefined || !place.source) continue;
    const name = frame[1] === "<anonymous>" ? "" : ` in ${frame[1]}`;
    places.push(`${place.source}:${place.line}${name}`);
  }
  return places;
}

function hintFor(message) {
  const required = REQUIRE.exec(message)?.[1];
  if (required === undefined) return undefined;
  const name = excerpt(required);
  if (isNodes(required)) return `a component has none of node's modules, such as ${name}`;
  return `a component has no files while it is called: import ${name} at the top of the file`;
}

/** Any value as text. */
export function shown(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return String(value);
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}
