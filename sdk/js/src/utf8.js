// UTF-8 from and to bytes, with what every JavaScript engine has: a component's has no TextDecoder. Bytes that are not UTF-8 throw.

/** How many bytes are handed to one call; an engine's stack bounds its arguments. */
const CHUNK_BYTES = 4096;

/** The bytes of a text; a lone surrogate becomes U+FFFD, as in TextEncoder. */
export function encode(text) {
  const binary = unescape(encodeURIComponent(text.toWellFormed()));
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at += 1) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** The text of some bytes. Throws a URIError where they are not UTF-8. */
export function decode(bytes) {
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    binary += String.fromCharCode.apply(null, bytes.subarray(at, at + CHUNK_BYTES));
  }
  return decodeURIComponent(escape(binary));
}

/** Text or bytes as bytes. */
export function bytesOf(value) {
  if (typeof value === "string") return encode(value);
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  throw new TypeError(`text or a Uint8Array was expected, not ${value === null ? "null" : typeof value}`);
}
