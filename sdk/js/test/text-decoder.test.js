// TextDecoder and TextEncoder of a component against the vectors of tests/fixtures/sdk, and against node's own.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { TextDecoder as Ours, TextEncoder as OurEncoder } from "../src/text-decoder.js";

const vectors = JSON.parse(readFileSync(new URL("../../../tests/fixtures/sdk/text-decoder.json", import.meta.url), "utf8"));

/** The text of a vector, or the name of the error; given in parts that end where the vector says. */
function decoded(Decoder, { label, bytes_hex: hex, fatal, ignore_bom: ignoreBOM, parts = [] }) {
  const bytes = Uint8Array.from(Buffer.from(hex, "hex"));
  try {
    const decoder = new Decoder(label, { fatal, ignoreBOM });
    const starts = [0, ...parts];
    return starts.map((start, at) => decoder.decode(bytes.subarray(start, starts[at + 1]), { stream: at + 1 < starts.length })).join("");
  } catch (error) {
    return error.name;
  }
}

test("text is decoded as the standard says, and as node does", () => {
  for (const vector of vectors) {
    const wanted = vector.text ?? vector.error;
    assert.equal(decoded(Ours, vector), wanted, vector.why);
    // Node knows more encodings, and takes windows-1252 for ISO-8859-1 in some versions.
    if (!vector.node_differs) assert.equal(decoded(TextDecoder, vector), wanted, `node: ${vector.why}`);
  }
});

test("bytes of any kind give the same as node's, whole and in parts", () => {
  const odd = [0xef, 0xbb, 0xbf, 0xfe, 0xff, 0xd8, 0xdb, 0xdc, 0xdf, 0xe0, 0xa0, 0xed, 0x9f, 0xf0, 0x90, 0xf4, 0x8f, 0x80, 0xc2, 0xc0, 0x41, 0];
  const labels = ["utf-8", "utf-16le", "utf-16be", "iso-8859-2", "iso-8859-15", "windows-1250", "windows-1251", "windows-1254"];
  let state = 7;
  const below = (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
  for (let round = 0; round < 4000; round += 1) {
    const bytes = Array.from({ length: below(12) }, () => below(3) > 0 ? odd[below(odd.length)] : below(256));
    const parts = below(2) > 0 ? [below(bytes.length + 1)] : [];
    const vector = {
      label: labels[below(labels.length)], bytes_hex: Buffer.from(bytes).toString("hex"), fatal: below(3) === 0, ignore_bom: below(2) === 0, parts,
    };
    assert.equal(decoded(Ours, vector), decoded(TextDecoder, vector), JSON.stringify(vector));
  }
});

test("a decoder tells what it is, takes buffers and views, and refuses text", () => {
  const decoder = new Ours("Latin1", { fatal: true, ignoreBOM: true });
  assert.deepEqual([decoder.encoding, decoder.fatal, decoder.ignoreBOM], ["windows-1252", true, true]);
  const { buffer } = Uint8Array.of(0x41, 0x42, 0x43);
  assert.deepEqual([new Ours().decode(buffer), new Ours().decode(new DataView(buffer, 1, 1)), new Ours().decode()], ["ABC", "B", ""]);
  assert.throws(() => new Ours().decode("text"), TypeError);
  assert.throws(() => new Ours("shift_jis"), /the encoding "shift_jis" is not read in a component; UTF-8, UTF-16, /);
});

test("text is encoded as by node", () => {
  const [ours, nodes] = [new OurEncoder(), new TextEncoder()];
  for (const text of ["", "Zürich 😀", "\ud800a", undefined]) assert.deepEqual(ours.encode(text), nodes.encode(text));
  for (const size of [0, 1, 2, 5, 9]) {
    const [one, two] = [new Uint8Array(size), new Uint8Array(size)];
    assert.deepEqual(ours.encodeInto("aü😀b", one), nodes.encodeInto("aü😀b", two));
    assert.deepEqual(one, two);
  }
  assert.equal(ours.encoding, "utf-8");
});
