import assert from "node:assert/strict";
import { test } from "node:test";

import { describe } from "../src/exception.js";
import { Throttled, cache, get } from "../src/index.js";
import { find } from "../src/source-map.js";
import { Api } from "../src/testing.js";

// Of a bundle of the SDK's file (named ""), then src/provider.js; made by hand: line 1 is the SDK's, lines 2 and 3 the author's.
const MAP = { sources: ["", "src/provider.js"], mappings: "AAAA;ACEA,UAAU;;AAEA" };

test("a place in a bundle is a file and line of the author's", () => {
  assert.deepEqual(find(MAP, 1, 5), { source: "", line: 1 });
  assert.deepEqual(find(MAP, 2, 1), { source: "src/provider.js", line: 3 });
  assert.deepEqual(find(MAP, 2, 40), { source: "src/provider.js", line: 3 });
  assert.equal(find(MAP, 3, 1), undefined);
  assert.deepEqual(find(MAP, 4, 1), { source: "src/provider.js", line: 5 });
  assert.equal(find(MAP, 99, 1), undefined);
});

test("an exception is told with its type, message and the author's lines", () => {
  const error = new TypeError("cannot read\nproperty");
  error.stack = "    at helper (/x/provider.js:2:10)\n    at <anonymous> (/x/provider.js:1:1)\n    at fetchRecord (/x/provider.js:4:3)\n";
  assert.equal(
    describe(error, MAP),
    "TypeError: cannot read property at src/provider.js:3 in helper, called at src/provider.js:5 in fetchRecord",
  );
  assert.equal(describe(error, undefined), "TypeError: cannot read property");
  assert.match(describe(new Error('Dynamic require of "x" is not supported'), MAP), /import x at the top of the file$/);
  for (const own of ["fs", "fs/promises", "node:test"]) {
    assert.match(describe(new Error(`Dynamic require of "${own}" is not supported`), MAP), /a component has none of node's modules/);
  }
  assert.equal(describe("no", MAP), "the provider threw something that is no Error: no");
  const deep = new RangeError("x".repeat(1000));
  deep.stack = "    at again (/x/provider.js:2:10)\n".repeat(1000);
  assert.ok(describe(deep, MAP).length < 400);
});

test("a duration that is no number of milliseconds is an error where it is written", () => {
  for (const wrong of ["30s", "30000", NaN, Infinity, null, true, [1]]) {
    assert.throws(() => new Throttled("slow down", { retryAfterMs: wrong }), /retryAfterMs is a number of milliseconds/);
  }
  assert.throws(() => new Throttled("slow down", { retryAfter: 30 }), /no option retryAfter; the wait is retryAfterMs, in milliseconds/);
  assert.throws(() => get("https://api.example.org").timeout("5s"), /timeout is a number of milliseconds/);
  assert.throws(() => new Api().run(() => cache.put("key", "value", "1h")), /ttlMs is a number of milliseconds/);
  assert.equal(new Throttled("slow down", { retryAfterMs: 30_000 }).retryAfterMs, 30_000);
  assert.equal(new Throttled("slow down").retryAfterMs, undefined);
});
