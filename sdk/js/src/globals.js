// The globals of a component, and what to use in place of those that node or a browser has and a component does not. The engine
// gets them in component.js; natively, guard.js lets a scripted call see these alone.

import { shown } from "./exception.js";
import { TextDecoder, TextEncoder } from "./text-decoder.js";

/** The globals of a component's engine (componentize-qjs); a test of the host compares them with the engine's own. */
export const NAMES = new Set((
  "Object Function Error EvalError RangeError ReferenceError SyntaxError TypeError URIError InternalError AggregateError " +
  "SuppressedError Iterator Array parseInt parseFloat isNaN isFinite queueMicrotask decodeURI decodeURIComponent encodeURI " +
  "encodeURIComponent escape unescape Infinity NaN undefined eval Number Boolean String Math Reflect Symbol DisposableStack " +
  "globalThis BigInt Date RegExp JSON Proxy Map Set WeakMap WeakSet ArrayBuffer SharedArrayBuffer Uint8ClampedArray Int8Array " +
  "Uint8Array Int16Array Uint16Array Int32Array Uint32Array BigInt64Array BigUint64Array Float16Array Float32Array Float64Array " +
  "DataView Promise AsyncDisposableStack WeakRef FinalizationRegistry DOMException btoa atob performance console TextEncoder " +
  "TextDecoder"
).split(" "));

/** A console of the provider's log; the engine has none. */
export function consoleOf(log) {
  const line = (level) => (...values) => log(level, values.map(shown).join(" "));
  return { debug: line("debug"), log: line("info"), info: line("info"), warn: line("warn"), error: line("error") };
}

/** Gives the engine the globals that it lacks, and makes those tell that would be silently wrong. */
export function installGlobals(log) {
  globalThis.console ??= consoleOf(log);
  globalThis.TextEncoder ??= TextEncoder;
  globalThis.TextDecoder ??= TextDecoder;
  replaceLocales();
}

/**
 * Replaces what depends on a locale, which a component does not have: the engine ignores locale and time zone, so that a record
 * would hold other text than under node. Answers what undoes it.
 */
export function replaceLocales() {
  const originals = [];
  const replace = (prototype, name, value) => {
    originals.push([prototype, name, Object.getOwnPropertyDescriptor(prototype, name)]);
    Object.defineProperty(prototype, name, { value, writable: true, enumerable: false, configurable: true });
  };
  const refuse = (name, instead) => () => {
    throw new TypeError(`a component has no locales, so ${name} does not work: ${instead}`);
  };
  for (const name of ["toLocaleString", "toLocaleDateString", "toLocaleTimeString"]) {
    replace(Date.prototype, name, refuse(name, "use toISOString or the getUTC... functions"));
  }
  replace(Number.prototype, "toLocaleString", refuse("toLocaleString", "use toFixed or String"));
  replace(BigInt.prototype, "toLocaleString", refuse("toLocaleString", "use String"));
  replace(String.prototype, "localeCompare", function localeCompare(other, locales, options) {
    if (locales !== undefined || options !== undefined) refuse("localeCompare with a locale", "compare with < and >")();
    const [one, two] = [String(this).normalize(), String(other).normalize()];
    return one < two ? -1 : one > two ? 1 : 0;
  });
  return () => originals.forEach(([prototype, name, descriptor]) => Object.defineProperty(prototype, name, descriptor));
}
