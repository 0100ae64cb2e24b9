// Text from bytes in an encoding: UTF-8, UTF-16, and the common encodings of one byte a character. The engine has no decoder of
// its own.

import { Malformed } from "./failure.js";
import { excerpt } from "./text.js";
import { decode as decodeUtf8 } from "./utf8.js";

/** The upper half of each encoding of one byte; what it leaves undefined is the control character of that number (WHATWG). */
const UPPER_HALVES = {
  "windows-1250":
    "€\u0081‚\u0083„…†‡\u0088‰Š‹ŚŤŽŹ\u0090‘’“”•–—\u0098™š›śťžź\u00a0ˇ˘Ł¤Ą¦§¨©Ş«¬\u00ad®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľżŔ" +
    "ÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
  "windows-1251":
    "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—\u0098™љ›њќћџ\u00a0ЎўЈ¤Ґ¦§Ё©Є«¬\u00ad®Ї°±Ііґµ¶·ё№є»јЅѕїАБВГДЕЖЗИЙКЛМНОПРСТУФ" +
    "ХЦЧШЩЪЫЬЭЮЯабвгдежзийклмнопрстуфхцчшщъыьэюя",
  "windows-1252":
    "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ\u00a0¡¢£¤¥¦§¨©ª«¬\u00ad®¯°±²³´µ¶·¸¹º»¼½¾¿À" +
    "ÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ",
  "windows-1254":
    "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008d\u008e\u008f\u0090‘’“”•–—˜™š›œ\u009d\u009eŸ\u00a0¡¢£¤¥¦§¨©ª«¬\u00ad®¯°±²³´µ¶" +
    "·¸¹º»¼½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞßàáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ",
  "iso-8859-2":
    "\u0080\u0081\u0082\u0083\u0084\u0085\u0086\u0087\u0088\u0089\u008a\u008b\u008c\u008d\u008e\u008f" +
    "\u0090\u0091\u0092\u0093\u0094\u0095\u0096\u0097\u0098\u0099\u009a\u009b\u009c\u009d\u009e\u009f" +
    "\u00a0Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\u00adŽŻ°ą˛ł´ľśˇ¸šşťź˝žżŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řů" +
    "úűüýţ˙",
  "iso-8859-15":
    "\u0080\u0081\u0082\u0083\u0084\u0085\u0086\u0087\u0088\u0089\u008a\u008b\u008c\u008d\u008e\u008f" +
    "\u0090\u0091\u0092\u0093\u0094\u0095\u0096\u0097\u0098\u0099\u009a\u009b\u009c\u009d\u009e\u009f" +
    "\u00a0¡¢£€¥Š§š©ª«¬\u00ad®¯°±²³Žµ¶·ž¹º»ŒœŸ¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øù" +
    "úûüýþÿ",
};

/** Other names of encodings (https://encoding.spec.whatwg.org/#names-and-labels): ISO-8859-1 and US-ASCII are windows-1252. */
const LABELS = {
  "utf8": "utf-8", "unicode-1-1-utf-8": "utf-8", "utf-16le": "utf-16", "unicode": "utf-16",
  "iso-8859-1": "windows-1252", "iso8859-1": "windows-1252", "iso_8859-1": "windows-1252", "latin1": "windows-1252",
  "l1": "windows-1252", "us-ascii": "windows-1252", "ascii": "windows-1252", "cp1252": "windows-1252", "x-cp1252": "windows-1252",
  "cp1250": "windows-1250", "cp1251": "windows-1251", "cp1254": "windows-1254", "iso-8859-9": "windows-1254",
  "latin5": "windows-1254", "iso8859-2": "iso-8859-2", "latin2": "iso-8859-2", "iso8859-15": "iso-8859-15", "latin9": "iso-8859-15",
};

/** The encoding of a label, or undefined where it is not read. */
export function encodingOf(label) {
  const name = label.trim().toLowerCase();
  const known = Object.hasOwn(LABELS, name) ? LABELS[name] : name;
  const isRead = known === "utf-8" || known === "utf-16" || known === "utf-16be" || Object.hasOwn(UPPER_HALVES, known);
  return isRead ? known : undefined;
}

/** The encoding that a byte order mark names, or undefined. */
export function markedEncoding(bytes) {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return "utf-8";
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return "utf-16";
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return "utf-16be";
  return undefined;
}

/** The `charset` of a content type, or undefined. */
export function charsetOf(contentType) {
  return /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(contentType ?? "")?.[1];
}

/** The text of bytes in an encoding that `encodingOf` gave, with its byte order mark; throws where they are not in it. */
export function decodeIn(encoding, bytes) {
  if (encoding === "utf-8") return decodeUtf8(bytes);
  const units = [];
  if (encoding.startsWith("utf-16")) {
    if (bytes.length % 2 !== 0) throw new RangeError("half a character at the end");
    const [high, low] = encoding === "utf-16be" ? [0, 1] : [1, 0];
    for (let at = 0; at < bytes.length; at += 2) units.push((bytes[at + high] << 8) | bytes[at + low]);
  } else {
    const upper = UPPER_HALVES[encoding];
    for (const byte of bytes) units.push(byte < 0x80 ? byte : upper.charCodeAt(byte - 0x80));
  }
  let text = "";
  // An engine's stack bounds the arguments of a call.
  for (let at = 0; at < units.length; at += 4096) text += String.fromCharCode.apply(null, units.slice(at, at + 4096));
  if (!text.isWellFormed()) throw new RangeError("half a surrogate pair");
  return text;
}

/** The text of bytes, by byte order mark or label, without the mark; `Malformed` where they are not in that encoding. */
export function decodeAs(label, bytes) {
  const marked = markedEncoding(bytes);
  const encoding = marked ?? encodingOf(label);
  if (encoding === undefined) throw new Malformed(`the encoding \`${excerpt(label)}\` is not read; ${READ}`);
  let text;
  try {
    text = decodeIn(encoding, bytes);
  } catch {
    throw new Malformed(encoding === "utf-8" ? "not UTF-8" : `not in the encoding ${encoding}`);
  }
  return text.startsWith("\ufeff") ? text.slice(1) : text;
}

/** The encodings that are read, for messages. */
export const READ = `UTF-8, UTF-16, ISO-8859-1, and ${Object.keys(UPPER_HALVES).join(", ")} are`;

/**
 * The text of a body: by its byte order mark, else by the `charset` of its content type, else as UTF-8. `Malformed` where the
 * bytes are not in that encoding, or it is not read.
 */
export function decode(bytes, contentType) {
  return decodeAs(charsetOf(contentType) ?? "utf-8", bytes);
}

/** Text from outside: `decode`, and `short` to make it fit for a message. */
export const text = { decode, short: excerpt };
