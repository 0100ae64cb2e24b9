// A scripted call sees what it sees in a component, and what a component lacks fails with the same message.

import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { describe } from "../src/exception.js";
import { Record, config, get } from "../src/index.js";
import { credentialNames } from "../src/manifest-credentials.js";
import { Api } from "../src/testing.js";

const run = (test) => new Api().run(test);
const manifest = (text) => {
  const path = join(mkdtempSync(join(tmpdir(), "damper-")), "provider.toml");
  writeFileSync(path, text);
  return path;
};

test("a global that a component lacks is not there, and the error says what to use", () => {
  const missing = [
    [() => fetch("https://api.example.org"), /^fetch is not defined; a component has no fetch: use get, post or request/],
    [() => setTimeout(() => {}, 1), /^setTimeout is not defined; .*retryAfterMs/],
    [() => crypto.randomUUID(), /ids\.uuidV5/],
    [() => new URL("https://api.example.org"), /path and query/],
    [() => structuredClone({}), /JSON\.parse/],
    [() => Buffer.from("x"), /Uint8Array/],
    [() => process.env.KEY, /config/],
    [() => new Intl.NumberFormat("de"), /toFixed/],
    [() => require("node:fs"), /at the top of the file/],
    [() => new AbortController(), /timeout of a request/],
  ];
  for (const [use, message] of missing) assert.throws(() => run(use), { name: "ReferenceError", message }, String(use));
  assert.deepEqual(run(() => [typeof fetch, typeof Buffer, globalThis.process]), ["undefined", "undefined", undefined]);
});

test("a component's own error gets the same hint", () => {
  assert.match(describe(new ReferenceError("structuredClone is not defined")), /; a component has no structuredClone: copy with/);
  assert.match(describe(new ReferenceError("setTimeout is not defined")), /; a component has no setTimeout: a provider never waits/);
  assert.equal(describe(new ReferenceError("mine is not defined")), "ReferenceError: mine is not defined");
  assert.equal(describe(new Error("fetch is not defined")), "Error: fetch is not defined");
});

test("what depends on a locale fails, and a comparison is by characters", () => {
  for (const use of [() => new Date().toLocaleDateString("de"), () => (1234.5).toLocaleString(), () => "a".localeCompare("b", "de")]) {
    assert.throws(() => run(use), /a component has no locales/);
  }
  assert.deepEqual(run(() => ["ä", "z", "a"].sort((one, two) => one.localeCompare(two))), ["a", "z", "ä"]);
});

test("local time is UTC, and random numbers repeat", (t) => {
  const before = process.env.TZ;
  t.after(() => before === undefined ? delete process.env.TZ : process.env.TZ = before);
  process.env.TZ = "America/New_York";
  assert.equal(run(() => new Date(2026, 0, 1).toISOString()), "2026-01-01T00:00:00.000Z");
  assert.equal(new Date(2026, 0, 1).toISOString(), "2026-01-01T05:00:00.000Z");
  const numbers = () => run(() => [Math.random(), Math.random()]);
  assert.deepEqual(numbers(), numbers());
  assert.notEqual(numbers()[0], numbers()[1]);
});

test("an async function fails as in a component", () => {
  assert.throws(() => run(async () => Record.text("x")), /answered a promise/);
});

test("console writes to the log", (t) => {
  t.mock.method(console, "warn", () => {});
  const api = new Api();
  api.run(() => console.warn("odd", { id: 1 }));
  assert.deepEqual(api.logged, [["warn", 'odd {"id":1}']]);
  assert.throws(() => run(() => console.table([])), TypeError);
});

test("after a call, also a failed one, all is as before", () => {
  const names = Object.getOwnPropertyNames(globalThis).sort();
  const before = [fetch, console, TextDecoder, Math.random, Date.prototype.toLocaleString, String.prototype.localeCompare];
  assert.throws(() => run(() => fetch("x")));
  run(() => run(() => 1));
  assert.deepEqual(Object.getOwnPropertyNames(globalThis).sort(), names);
  assert.deepEqual([fetch, console, TextDecoder, Math.random, Date.prototype.toLocaleString, String.prototype.localeCompare], before);
});

test("a debugger may see all of node", () => {
  assert.equal(new Api({ guarded: false }).run(() => typeof process), "object");
});

test("a credential that the manifest does not have is refused as by the host, with those that it has", () => {
  const path = manifest('[credentials.key]\nkind = "header"\nheader = "X-Key"\n[credentials.signing]\nkind = "hmac"\n[credentials.token]\nkind = "bearer"\n');
  const asked = (name) => {
    const api = new Api({ manifest: path });
    api.get("https://api.example.org/").credential(name).answers(200, "x");
    return api.run(() => get("https://api.example.org/").credential(name).send().status);
  };
  assert.equal(asked("key"), 200);
  for (const unknown of ["kee", "signing"]) {
    assert.throws(() => asked(unknown), {
      kind: "invalid-request",
      message: `not a valid request: the manifest has no credential "${unknown}" that can be sent; those that can are key, token`,
    });
  }
  assert.throws(
    () => new Api({ manifest: manifest('name = "x"\n') }).run(() => get("https://api.example.org/").credential("key").send()),
    /it has none that can: add \[credentials\.NAME\] to provider\.toml/,
  );
  assert.throws(() => new Api({ manifest: "/no/such/file" }), /ENOENT/);
});

test("credentials are found as people write them, and where that is not sure none is refused", () => {
  assert.deepEqual(credentialNames('[credentials.a] # the key\nkind = "header"\n[ credentials . "b" ]\nkind = "basic"\n'), ["a", "b"]);
  assert.deepEqual(credentialNames('[credentials]\na = { kind = "bearer" }\nb.kind = "hmac"\n# c = 1\n[config]\nd = "x"\n'), ["a"]);
  assert.deepEqual(credentialNames('credentials.a.kind = "bearer"\n[limits]\n'), ["a"]);
  assert.deepEqual(credentialNames('[config]\nurl = "[credentials.x]"\n'), []);
  assert.equal(credentialNames('credentials = { a = { kind = "bearer" } }\n'), undefined);
  assert.equal(credentialNames('description = """\n[credentials.x]\n"""\n'), undefined);
  assert.equal(run(() => config.get("unset")), undefined);
});
