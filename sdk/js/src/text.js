// Text from outside made fit for a message: short, on one line, without control characters.

import { decode } from "./utf8.js";

/** The most characters of foreign text that a message carries. */
const EXCERPT_CHARS = 160;
/** How much of a body is looked at. */
const HEAD_BYTES = 1024;
/** Characters that turn the direction of what follows them, or hide: they could disguise a line of a log. */
const DISGUISES = /[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;
const BREAKS = /[\s\p{Cc}]+/u;

/** The beginning of `text` on one line; "" where nothing readable is left. */
export function excerpt(text) {
  const line = text.split(BREAKS).map((word) => word.replace(DISGUISES, "")).filter((word) => word !== "").join(" ");
  const characters = [...line.slice(0, 2 * EXCERPT_CHARS + 2)];
  return characters.length > EXCERPT_CHARS ? `${characters.slice(0, EXCERPT_CHARS).join("")}…` : line;
}

/** The beginning of a body, if it is text that a person would read: no markup, nothing binary. Else "". */
export function bodyExcerpt(body) {
  // Only the beginning is looked at, so the cut may fall inside a character of up to four bytes.
  const head = body.subarray(0, HEAD_BYTES);
  const cuts = body.length > HEAD_BYTES ? [0, 1, 2, 3] : [0];
  for (const cut of cuts) {
    try {
      const text = decode(head.subarray(0, head.length - cut));
      return text.trimStart().startsWith("<") ? "" : excerpt(text);
    } catch {
      // Not whole here; perhaps a byte earlier.
    }
  }
  return "";
}
