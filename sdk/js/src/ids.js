// Stable ids: the same name gives the same id. In plain JavaScript: an engine of components has no `crypto`.

import { bytesOf } from "./utf8.js";

/** The namespace of RFC 9562 for names that are URLs. */
const URL_NAMESPACE = "6ba7b811-9dad-11d1-80b4-00c04fd430c8";

/** Stable ids for what an API wants an id of. */
export const ids = {
  /** The namespace of RFC 9562 for names that are URLs. */
  URL_NAMESPACE,

  /** The UUID of version 5 (RFC 9562, section 5.5) of a name in a namespace, in lower case with hyphens. */
  uuidV5(namespace, name) {
    const bytes = sha1(concat(fromUuid(namespace), bytesOf(name))).subarray(0, 16);
    bytes[6] = (bytes[6] & 0x0f) | 0x50;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const text = hex(bytes);
    return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join("-");
  },

  /** The SHA-256 of text or bytes, in lower-case hexadecimal. */
  sha256Hex(value) {
    return hex(sha256(bytesOf(value)));
  },
};

function fromUuid(text) {
  const digits = text.replaceAll("-", "");
  if (!/^[0-9a-fA-F]{32}$/.test(digits)) throw new TypeError(`${JSON.stringify(text)} is not a UUID`);
  return Uint8Array.from({ length: 16 }, (_, at) => Number.parseInt(digits.slice(2 * at, 2 * at + 2), 16));
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

function concat(one, other) {
  const all = new Uint8Array(one.length + other.length);
  all.set(one);
  all.set(other, one.length);
  return all;
}

const left = (word, by) => (word << by) | (word >>> (32 - by));
const right = (word, by) => (word >>> by) | (word << (32 - by));

/** The message, padded as both digests want it: blocks of sixteen words. */
function blocks(message) {
  const length = Math.ceil((message.length + 9) / 64) * 64;
  const view = new DataView(new ArrayBuffer(length));
  message.forEach((byte, at) => view.setUint8(at, byte));
  view.setUint8(message.length, 0x80);
  view.setUint32(length - 8, Math.floor((message.length * 8) / 2 ** 32));
  view.setUint32(length - 4, (message.length * 8) >>> 0);
  return Array.from({ length: length / 64 }, (_, block) =>
    Array.from({ length: 16 }, (_, word) => view.getUint32(block * 64 + word * 4)));
}

function toBytes(state) {
  const view = new DataView(new ArrayBuffer(state.length * 4));
  state.forEach((word, at) => view.setUint32(at * 4, word >>> 0));
  return new Uint8Array(view.buffer);
}

/** FIPS 180-4, section 6.1. */
function sha1(message) {
  let state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
  for (const words of blocks(message)) {
    for (let t = 16; t < 80; t += 1) words.push(left(words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16], 1));
    let [a, b, c, d, e] = state;
    for (let t = 0; t < 80; t += 1) {
      let mixed = b ^ c ^ d;
      if (t < 20) mixed = (b & c) | (~b & d);
      else if (t >= 40 && t < 60) mixed = (b & c) | (b & d) | (c & d);
      const constant = [0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6][Math.floor(t / 20)];
      const next = (left(a, 5) + mixed + e + constant + words[t]) | 0;
      [a, b, c, d, e] = [next, a, left(b, 30), c, d];
    }
    state = [a, b, c, d, e].map((word, at) => (word + state[at]) | 0);
  }
  return toBytes(state);
}

/** The first 32 bits of the fractional parts of a root of the first primes: FIPS 180-4, section 4.2.2. */
function fractions(count, root) {
  const found = [];
  for (let candidate = 2; found.length < count; candidate += 1) {
    let isPrime = true;
    for (let divisor = 2; divisor * divisor <= candidate; divisor += 1) {
      if (candidate % divisor === 0) isPrime = false;
    }
    if (isPrime) found.push(Math.floor((root(candidate) % 1) * 2 ** 32) | 0);
  }
  return found;
}

let constants;

/** FIPS 180-4, section 6.2. */
function sha256(message) {
  constants ??= { first: fractions(8, Math.sqrt), round: fractions(64, Math.cbrt) };
  let state = constants.first;
  for (const words of blocks(message)) {
    for (let t = 16; t < 64; t += 1) {
      const [early, late] = [words[t - 15], words[t - 2]];
      const first = right(early, 7) ^ right(early, 18) ^ (early >>> 3);
      const second = right(late, 17) ^ right(late, 19) ^ (late >>> 10);
      words.push((words[t - 16] + first + words[t - 7] + second) | 0);
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let t = 0; t < 64; t += 1) {
      const rotated = right(e, 6) ^ right(e, 11) ^ right(e, 25);
      const first = (h + rotated + ((e & f) ^ (~e & g)) + constants.round[t] + words[t]) | 0;
      const second = ((right(a, 2) ^ right(a, 13) ^ right(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [a, b, c, d, e, f, g, h] = [(first + second) | 0, a, b, c, (d + first) | 0, e, f, g];
    }
    state = [a, b, c, d, e, f, g, h].map((word, at) => (word + state[at]) | 0);
  }
  return toBytes(state);
}
