// The three SDKs make the same of the same documents, bodies and names: tests/fixtures/sdk.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Malformed, Other, Rejected, get, ids, text, xml } from "../src/index.js";
import { Api } from "../src/testing.js";

const vectors = (name) => JSON.parse(readFileSync(new URL(`../../../tests/fixtures/sdk/${name}.json`, import.meta.url), "utf8"));
const bytes = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
const documentOf = (vector) => vector.document === undefined ? bytes(vector.document_hex) : Buffer.from(vector.document);

function assertElement(found, wanted, why) {
  assert.ok(found.is(wanted.namespace ?? "", wanted.name), `${why}: ${found.namespace} ${found.name}`);
  assert.equal(found.text, wanted.text ?? "", why);
  for (const [namespace, name, value] of wanted.attributes ?? []) assert.equal(found.attributeIn(namespace, name), value, why);
  assert.equal(found.children.length, (wanted.children ?? []).length, why);
  (wanted.children ?? []).forEach((child, at) => assertElement(found.children[at], child, why));
}

test("XML documents are read as in the other languages", () => {
  for (const vector of vectors("xml").good) {
    assertElement(xml.parse(documentOf(vector), vector.content_type), vector.root, vector.why);
  }
});

test("what is no XML, or harmful, is malformed as in the other languages", () => {
  for (const vector of vectors("xml").bad) {
    const shown = JSON.stringify(vector).slice(0, 100);
    assert.throws(() => xml.parse(documentOf(vector), vector.content_type), (error) => {
      assert.ok(error instanceof Malformed, `${shown}: ${error?.stack}`);
      assert.ok(error.message.includes(vector.says ?? "") && error.message.length < 300, `${shown}: ${error.message}`);
      return true;
    }, shown);
  }
});

test("elements are looked up by namespace and name", () => {
  const inside = '<t:b k="1"/><t:c><t:b k="3"/></t:c><u:b k="4"/><b k="5"/><v:b xmlns:v="urn:1" k="2"/>';
  const root = xml.parse(`<t:a xmlns:t="urn:1" xmlns:u="urn:2">${inside}</t:a>`);
  assert.deepEqual(root.childrenNamed("urn:1", "b").map((child) => child.attribute("k")), ["1", "2"]);
  assert.deepEqual(root.childrenNamed("", "b").map((child) => child.attribute("k")), ["5"]);
  assert.deepEqual(root.childrenNamed("urn:1", "none"), []);
  assert.equal(root.child("urn:2", "c"), undefined);
  assert.throws(() => root.required("urn:1", "price"), { name: "Malformed", message: "`a` has no `price`" });
});

test("depth is bounded before the stack is, and the number of elements", () => {
  assert.equal(xml.parse("<a>".repeat(64) + "</a>".repeat(64)).name, "a");
  assert.throws(() => xml.parse("<a>".repeat(65) + "</a>".repeat(65)), /more than 64 deep/);
  assert.throws(() => xml.parse("<a>".repeat(100_000)), /more than 64 deep/);
  assert.throws(() => xml.parse(`<a>${"<b/>".repeat(100_000)}</a>`), /more than 100000 elements/);
});

test("an escaped value comes back as it was", () => {
  for (const value of ["a & b", "<\"'>", "\t\n\r x", "Zürich 😀", "&amp;", "]]>"]) {
    const root = xml.parse(`<a k="${xml.escape(value)}">x${xml.escape(value)}x</a>`);
    assert.deepEqual([root.attribute("k"), root.text], [value, `x${value}x`]);
  }
  for (const value of ["a\0b", "\uffff", "\ud800"]) assert.throws(() => xml.escape(value), Rejected);
});

test("an answer's text and XML are decoded by its content type, and a failure says whose it was", () => {
  const url = "https://api.example.org/thing?key=s3cret";
  const answered = (contentType, body) =>
    new Api().get(url).answerHeader("content-type", contentType).answers(200, body).run(() => get(url).send());
  assert.equal(answered("text/plain; charset=iso-8859-15", bytes("a4")).text(), "€");
  assert.equal(answered("text/xml; charset=iso-8859-15", bytes("3c613ea43c2f613e")).xml().text, "€");
  assert.throws(() => answered("text/xml", "<a>").xml(), {
    name: "Malformed", status: 200, message: /^GET https:\/\/api\.example\.org\/thing: not the expected XML: it ends within `a`$/,
  });
});

test("bodies are decoded as in the other languages", () => {
  for (const { body_hex, content_type, text: wanted } of vectors("text").bodies) {
    if (wanted === undefined) assert.throws(() => text.decode(bytes(body_hex), content_type), Malformed, body_hex);
    else assert.equal(text.decode(bytes(body_hex), content_type), wanted);
  }
});

test("stable ids are the published ones", () => {
  const { uuid_v5, not_a_namespace, sha256, sha256_of_a_million_a, namespaces } = vectors("ids");
  assert.deepEqual([ids.NAMESPACE_DNS, ids.NAMESPACE_URL, ids.NAMESPACE_OID], [namespaces.dns, namespaces.url, namespaces.oid]);
  for (const [namespace, name, uuid] of uuid_v5) assert.equal(ids.uuidV5(namespace, name), uuid);
  for (const namespace of not_a_namespace) assert.throws(() => ids.uuidV5(namespace, "x"), Other);
  for (const [message, digest] of sha256) assert.equal(ids.sha256Hex(message), digest, `${message.length}`);
  assert.equal(ids.sha256Hex("a".repeat(1_000_000)), sha256_of_a_million_a);
});
