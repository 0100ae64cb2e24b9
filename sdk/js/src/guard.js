// Lets a scripted call see what it sees in a component: the engine's globals, UTC, the same random numbers in each call. What would
// work under node and fail in a component fails here, with the same message.

import { PROMISE } from "./exception.js";
import { NAMES, consoleOf, replaceLocales } from "./globals.js";
import { insteadOf } from "./instead.js";
import { TextDecoder, TextEncoder } from "./text-decoder.js";

/** Node's, as it was before anything was hidden. */
const { console: nodeConsole, process } = globalThis;

/** Calls `run` as a component would be called. */
export function asInAComponent(run, log) {
  const undo = [hideGlobals(log), replaceLocales(), repeatRandom(), setTimeZone()];
  try {
    const result = run();
    if (typeof result?.then === "function") throw new TypeError(PROMISE);
    return result;
  } catch (error) {
    throw told(error);
  } finally {
    // In reverse: the globals come back last.
    undo.reverse().forEach((each) => each());
  }
}

/** The error, with what to use in place of a global that is missing. */
function told(error) {
  const instead = insteadOf(error);
  if (instead === undefined) return error;
  const message = `${error.message}; ${instead}`;
  error.stack = String(error.stack).replace(error.message, () => message);
  error.message = message;
  return error;
}

function hideGlobals(log) {
  const hidden = [];
  const change = (name, descriptor) => {
    const before = Object.getOwnPropertyDescriptor(globalThis, name);
    if (before !== undefined && !before.configurable) return;
    hidden.push([name, before]);
    if (descriptor === undefined) delete globalThis[name];
    else Object.defineProperty(globalThis, name, { ...descriptor, configurable: true, writable: true });
  };
  for (const name of Object.getOwnPropertyNames(globalThis)) if (!NAMES.has(name)) change(name);
  change("console", { value: consoleOf((level, line) => {
    log(level, line);
    nodeConsole[level](line);
  }) });
  change("TextDecoder", { value: TextDecoder });
  change("TextEncoder", { value: TextEncoder });
  return () => hidden.forEach(([name, before]) => {
    delete globalThis[name];
    if (before !== undefined) Object.defineProperty(globalThis, name, before);
  });
}

/** A component begins each call from one state, so its random numbers repeat. */
function repeatRandom() {
  const { random } = Math;
  let state = 0x2545f491;
  Math.random = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  return () => {
    Math.random = random;
  };
}

/** A component's local time is UTC. */
function setTimeZone() {
  if (process?.env === undefined) return () => {};
  const before = process.env.TZ;
  process.env.TZ = "UTC";
  return () => {
    if (before === undefined) delete process.env.TZ;
    else process.env.TZ = before;
  };
}
