// The standard's TextDecoder and TextEncoder (https://encoding.spec.whatwg.org) for the encodings that `text.decode` reads. A
// component's engine has none of its own.

import { READ, decodeIn, encodingOf } from "./encodings.js";
import { encode } from "./utf8.js";

/** The standard's labels of each encoding; other encodings of the standard are not there. */
const LABELS = new Map(Object.entries({
  "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8",
  "utf-16le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le",
  "utf-16be": "unicodefffe utf-16be",
  "iso-8859-2": "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2",
  "iso-8859-15": "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9",
  "windows-1250": "cp1250 windows-1250 x-cp1250",
  "windows-1251": "cp1251 windows-1251 x-cp1251",
  "windows-1252":
    "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 " +
    "l1 latin1 us-ascii windows-1252 x-cp1252",
  "windows-1254":
    "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5 windows-1254 x-cp1254",
}).flatMap(([encoding, labels]) => labels.split(" ").map((label) => [label, encoding])));
const REPLACEMENT = "\ufffd";
const WHITESPACE = /^[\t\n\f\r ]+|[\t\n\f\r ]+$/g;

/** Text from bytes, also in parts. `RangeError` for a label that is not known, `TypeError` for what is wrong if `fatal`. */
export class TextDecoder {
  #encoding;
  #fatal;
  #ignoreBom;
  /** The bytes of a character that has not ended, from an earlier part. */
  #held = new Uint8Array();
  #isBegun = false;

  constructor(label = "utf-8", options = {}) {
    const name = String(label).replace(WHITESPACE, "").toLowerCase();
    this.#encoding = LABELS.get(name);
    if (this.#encoding === undefined) {
      throw new RangeError(`the encoding ${JSON.stringify(label)} is not read in a component; ${READ}`);
    }
    this.#fatal = Boolean(options?.fatal);
    this.#ignoreBom = Boolean(options?.ignoreBOM);
  }

  get encoding() {
    return this.#encoding;
  }

  get fatal() {
    return this.#fatal;
  }

  get ignoreBOM() {
    return this.#ignoreBom;
  }

  decode(input = new Uint8Array(), { stream = false } = {}) {
    const bytes = joined(this.#held, viewed(input));
    const end = stream ? bytes.length - unfinished(this.#encoding, bytes) : bytes.length;
    this.#held = stream ? bytes.slice(end) : new Uint8Array();
    let text;
    try {
      text = this.#text(bytes.subarray(0, end));
    } catch (error) {
      this.#held = new Uint8Array();
      this.#isBegun = false;
      throw error;
    }
    const isStart = !this.#isBegun;
    this.#isBegun = stream && (this.#isBegun || text !== "");
    return isStart && !this.#ignoreBom && text.startsWith("\ufeff") ? text.slice(1) : text;
  }

  #text(bytes) {
    try {
      // The whole at once, by the engine's own code: fast, and right unless something is wrong.
      return decodeIn(encodingOf(this.#encoding), bytes);
    } catch {
      if (this.#fatal) throw new TypeError(`the bytes are not in the encoding ${this.#encoding}`);
    }
    return this.#encoding === "utf-8" ? replacedUtf8(bytes) : replacedUtf16(bytes, this.#encoding);
  }
}

/** Bytes from text. */
export class TextEncoder {
  get encoding() {
    return "utf-8";
  }

  encode(text = "") {
    return encode(String(text));
  }

  encodeInto(text, target) {
    let [read, written] = [0, 0];
    for (const character of String(text)) {
      const bytes = encode(character);
      if (written + bytes.length > target.length) break;
      target.set(bytes, written);
      [read, written] = [read + character.length, written + bytes.length];
    }
    return { read, written };
  }
}

/** The bytes of a buffer or of any view of one. */
function viewed(input) {
  if (ArrayBuffer.isView(input)) return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
  if (input instanceof ArrayBuffer || input instanceof SharedArrayBuffer) return new Uint8Array(input);
  throw new TypeError("decode takes an ArrayBuffer or a view of one");
}

function joined(first, second) {
  if (first.length === 0) return second;
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}

/** How many bytes at the end belong to a character that may go on in the next part. */
function unfinished(encoding, bytes) {
  if (encoding.startsWith("utf-16")) {
    const half = bytes.length % 2;
    const at = bytes.length - half - (encoding === "utf-16le" ? 1 : 2);
    return half + ((bytes[at] ?? 0) >> 2 === 0xd8 >> 2 ? 2 : 0);
  }
  if (encoding !== "utf-8") return 0;
  for (let count = 1; count <= Math.min(3, bytes.length); count += 1) {
    const { need, taken } = character(bytes, bytes.length - count);
    if (need > 0 && taken === count) return count;
  }
  return 0;
}

/**
 * The character of UTF-8 that begins at `at`: how many bytes of it are right (`taken`, at least one) and how many are missing
 * (`need`; `undefined` if none can begin so).
 */
function character(bytes, at) {
  const lead = bytes[at];
  if (lead < 0x80) return { need: 0, taken: 1 };
  if (lead < 0xc2 || lead > 0xf4) return { need: undefined, taken: 1 };
  let need = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
  let [lower, upper] = [{ 0xe0: 0xa0, 0xf0: 0x90 }[lead] ?? 0x80, { 0xed: 0x9f, 0xf4: 0x8f }[lead] ?? 0xbf];
  let taken = 1;
  while (need > 0 && bytes[at + taken] >= lower && bytes[at + taken] <= upper) {
    [lower, upper] = [0x80, 0xbf];
    need -= 1;
    taken += 1;
  }
  return { need, taken };
}

/** UTF-8, with U+FFFD for each longest part that could have begun a character. */
function replacedUtf8(bytes) {
  const parts = [];
  // From where the bytes are right and not yet in `parts`.
  let from = 0;
  for (let at = 0; at < bytes.length;) {
    const { need, taken } = character(bytes, at);
    if (need !== 0) {
      parts.push(decodeIn("utf-8", bytes.subarray(from, at)), REPLACEMENT);
      from = at + taken;
    }
    at += taken;
  }
  parts.push(decodeIn("utf-8", bytes.subarray(from)));
  return parts.join("");
}

/** UTF-16, with U+FFFD for each half of a pair alone, and for what is cut at the end. */
function replacedUtf16(bytes, encoding) {
  const whole = bytes.length - (bytes.length % 2);
  const [high, low] = encoding === "utf-16be" ? [0, 1] : [1, 0];
  const units = [];
  for (let at = 0; at < whole; at += 2) units.push(String.fromCharCode((bytes[at + high] << 8) | bytes[at + low]));
  // The standard counts one mistake if the end cuts both a character and a pair.
  const isPairCut = /[\ud800-\udbff]/.test(units.at(-1) ?? "");
  return units.join("").toWellFormed() + (whole < bytes.length && !isPairCut ? REPLACEMENT : "");
}
