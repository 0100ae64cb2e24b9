// JSON documents: looked up by JSON Pointer (RFC 6901), with failures that say what was missing.

import { Malformed } from "./failure.js";
import { excerpt } from "./text.js";

/** Parses a document; `Malformed` where it is none. */
export function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    // The engine's message may quote the document, so it is cut like a body.
    throw new Malformed(`not the expected JSON: ${excerpt(error.message)}`);
  }
}

/** The value at a pointer, or undefined. */
export function lookup(document, pointer) {
  if (pointer === "") return document;
  if (!pointer.startsWith("/")) return undefined;
  let value = document;
  for (const token of pointer.slice(1).split("/")) {
    if (value === null || typeof value !== "object") return undefined;
    const key = token.replaceAll("~1", "/").replaceAll("~0", "~");
    if (Array.isArray(value) && !/^(0|[1-9]\d*)$/.test(key)) return undefined;
    if (!Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value;
}

/** The value at a pointer; `Malformed` where there is none. */
export function at(document, pointer) {
  const value = lookup(document, pointer);
  if (value === undefined) throw new Malformed(`the document has nothing at \`${excerpt(pointer)}\``);
  return value;
}

/** The text at a pointer; `Malformed` where there is none, or something else. */
export function textAt(document, pointer) {
  const value = at(document, pointer);
  if (typeof value === "string") return value;
  const found = value === null ? "null" : Array.isArray(value) ? "an array" : NAMES[typeof value];
  throw new Malformed(`the document has ${found} at \`${excerpt(pointer)}\` where text was expected`);
}

const NAMES = { boolean: "a boolean", number: "a number", object: "an object" };
