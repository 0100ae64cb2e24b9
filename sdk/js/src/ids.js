// Stable ids: the same text gives the same id, in each attempt and each language. For an idempotency key, or a record without an
// id. The engine has no crypto; its Math.random() gives the same numbers in each call.

import { Other } from "./failure.js";
import { excerpt } from "./text.js";
import { bytesOf, encode } from "./utf8.js";

/** Namespaces of RFC 9562, section 6.6. */
export const NAMESPACE_DNS = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
export const NAMESPACE_URL = "6ba7b811-9dad-11d1-80b4-00c04fd430c8";
export const NAMESPACE_OID = "6ba7b812-9dad-11d1-80b4-00c04fd430c8";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The UUID of a name in a namespace, which is a UUID itself (RFC 9562, version 5, by SHA-1); `Other` where it is none. */
export function uuidV5(namespace, name) {
  if (!UUID.test(namespace)) {
    throw new Other("invalid-namespace", `the namespace \`${excerpt(String(namespace))}\` is not a UUID, such as ${NAMESPACE_URL}`);
  }
  const digits = namespace.replaceAll("-", "").match(/../g);
  const space = Uint8Array.from(digits, (digit) => Number.parseInt(digit, 16));
  const digest = sha1(joined(space, encode(String(name)))).slice(0, 16);
  digest[6] = (digest[6] & 0x0f) | 0x50;
  digest[8] = (digest[8] & 0x3f) | 0x80;
  return hex(digest).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** SHA-256 (FIPS 180-4) of text in UTF-8 or of bytes, in lower-case hexadecimal. */
export function sha256Hex(value) {
  return hex(sha256(bytesOf(value)));
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

function joined(first, second) {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

const left = (word, bits) => (word << bits) | (word >>> (32 - bits));
const right = (word, bits) => (word >>> bits) | (word << (32 - bits));

/** Pads a message (FIPS 180-4, section 5.1.1) and runs `compress` on each block's 16 words; gives the state's bytes. */
function digest(message, state, compress) {
  const padded = new Uint8Array((((message.length + 8) >> 6) + 1) << 6);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(message.length / 0x2000_0000));
  view.setUint32(padded.length - 4, message.length << 3);
  for (let block = 0; block < padded.length; block += 64) {
    compress(state, (word) => view.getUint32(block + 4 * word));
  }
  const bytes = new DataView(new ArrayBuffer(4 * state.length));
  state.forEach((word, at) => bytes.setUint32(4 * at, word));
  return new Uint8Array(bytes.buffer);
}

function sha1(message) {
  const state = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0);
  return digest(message, state, (state, word) => {
    const w = new Int32Array(80);
    for (let t = 0; t < 80; t += 1) w[t] = t < 16 ? word(t) : left(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    let [a, b, c, d, e] = state;
    for (let t = 0; t < 80; t += 1) {
      const [f, k] = t < 20 ? [(b & c) | (~b & d), 0x5a827999]
        : t < 40 ? [b ^ c ^ d, 0x6ed9eba1]
        : t < 60 ? [(b & c) | (b & d) | (c & d), 0x8f1bbcdc]
        : [b ^ c ^ d, 0xca62c1d6];
      [e, d, c, b, a] = [d, c, left(b, 30), a, (left(a, 5) + f + e + k + w[t]) | 0];
    }
    [a, b, c, d, e].forEach((value, at) => {
      state[at] += value;
    });
  });
}

/** The first 32 bits of the fractional parts of roots of the first primes (FIPS 180-4, sections 4.2.2 and 5.3.3). */
function fractions(count, root) {
  const primes = [];
  for (let n = 2; primes.length < count; n += 1) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return Int32Array.from(primes, (prime) => ((root(prime) % 1) * 0x1_0000_0000) | 0);
}

const ROUNDS = fractions(64, Math.cbrt);
const INITIAL = fractions(8, Math.sqrt);

function sha256(message) {
  return digest(message, Int32Array.from(INITIAL), (state, word) => {
    const w = new Int32Array(64);
    for (let t = 0; t < 64; t += 1) {
      if (t < 16) {
        w[t] = word(t);
        continue;
      }
      const s0 = right(w[t - 15], 7) ^ right(w[t - 15], 18) ^ (w[t - 15] >>> 3);
      const s1 = right(w[t - 2], 17) ^ right(w[t - 2], 19) ^ (w[t - 2] >>> 10);
      w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let t = 0; t < 64; t += 1) {
      const s1 = right(e, 6) ^ right(e, 11) ^ right(e, 25);
      const t1 = h + s1 + ((e & f) ^ (~e & g)) + ROUNDS[t] + w[t];
      const s0 = right(a, 2) ^ right(a, 13) ^ right(a, 22);
      const t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((value, at) => {
      state[at] += value;
    });
  });
}
