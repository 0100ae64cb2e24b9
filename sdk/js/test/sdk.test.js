import assert from "node:assert/strict";
import { test } from "node:test";

import * as sdk from "../src/index.js";
import { parse as retryAfter, reset } from "../src/retry-after.js";
import { Api } from "../src/testing.js";
import { bodyExcerpt, excerpt } from "../src/text.js";
import * as url from "../src/url.js";
import { decode, encode } from "../src/utf8.js";

const {
  FetchRequest, Malformed, NotReady, Other, Record, Rejected, TimedOut, Unauthorized, cache, config, get, json, log, post, sendAll, sign,
  twoStep,
} = sdk;
const URL_ = "https://api.example.org/things";

/** The answer of a scripted API to one GET. */
function answer(status, body, headers = {}) {
  const api = new Api();
  const expectation = api.get(`${URL_}?key=s3cret`);
  for (const [name, value] of Object.entries(headers)) expectation.answerHeader(name, value);
  expectation.answers(status, body);
  return api.run(() => get(`${URL_}?key=s3cret`).send());
}

function failure(make) {
  try {
    make();
  } catch (error) {
    assert.ok(error instanceof sdk.Failure, `${error?.stack}`);
    return error;
  }
  return assert.fail("nothing was thrown");
}

/** A few thousand odd texts, the same each time. */
function* oddTexts() {
  const alphabet = ["a", "Z", "0", ".", "..", "/", "\\", "%", "%2e", "?", "#", "&", "=", " ", "\n", "\0", "\"", "'", "é", "漢", "😀", "\ud800"];
  let state = 1;
  for (let count = 0; count < 3000; count += 1) {
    let text = "";
    state = (state * 48271) % 2147483647;
    for (let length = state % 7; length > 0; length -= 1) {
      state = (state * 48271) % 2147483647;
      text += alphabet[state % alphabet.length];
    }
    yield text;
  }
}

test("an id never escapes its segment", () => {
  for (const id of oddTexts()) {
    let built;
    try {
      built = url.build("https://h.example/v1/{id}/tail", new Map([["id", id]]), []);
    } catch (error) {
      assert.ok(error instanceof Rejected && /^\.*$/.test(id), JSON.stringify(id));
      continue;
    }
    const parsed = new URL(built);
    assert.equal(parsed.href, built);
    const segments = parsed.pathname.split("/");
    assert.deepEqual([segments.length, segments[1], segments[3]], [4, "v1", "tail"]);
    assert.equal(decodeURIComponent(segments[2]), id.toWellFormed());
    assert.equal(parsed.search, "");
  }
});

test("a query value never adds a pair", () => {
  for (const value of oddTexts()) {
    const parsed = new URL(url.build("https://h.example/x?first=1", new Map(), [["b c", value]]));
    assert.deepEqual([...parsed.searchParams], [["first", "1"], ["b c", value.toWellFormed()]]);
  }
});

test("a value stays in its segment, and segments of dots or nothing are refused", () => {
  const build = (template, values) => url.build(template, new Map(Object.entries(values)), []);
  const quoted = "a%2F..%2Fb%3Fc%23d%26e%3D%22%0A%25%C3%BC%21%27%28%29%2A";
  assert.equal(build("https://h/v1/{id}/x?f={id}", { id: "a/../b?c#d&e=\"\n%ü!'()*" }), `https://h/v1/${quoted}/x?f=${quoted}`);
  for (const id of ["", ".", "..", "..."]) assert.throws(() => build("https://h/{id}", { id }), Rejected);
  assert.throws(() => build("https://h/{a}{b}", { a: ".", b: "." }), Rejected);
  assert.equal(build("https://h/{a}.json", { a: ".." }), "https://h/...json");
  assert.equal(build("https://h/x?q={a}", { a: "" }), "https://h/x?q=");
});

test("an author's slip is named, without what the query holds", () => {
  const message = (template, values = {}) => {
    const error = failure(() => url.build(template, new Map(Object.entries(values)), []));
    assert.equal(error.kind, "invalid-request");
    return error.message;
  };
  assert.match(message("https://h/{id}"), /no value for `\{id\}`/);
  assert.match(message("https://h/x", { id: "1" }), /no placeholder `\{id\}`/);
  assert.match(message("https://{id}/x", { id: "1" }), /placeholder in the host|not an absolute/);
  assert.match(message("https://h/{id", { id: "1" }), /without its/);
  assert.match(message("/v1/x"), /not an absolute URL/);
  assert.match(message("https:///x"), /not an absolute URL/);
  assert.match(message("https://h/x#y"), /fragment/);
  assert.doesNotMatch(message("https://h/{id}?key=s3cret"), /s3cret/);
});

test("a joined path has one slash before it, and none goes behind a query", () => {
  for (const [base, path] of [["http://h:1/v", "x"], ["http://h:1/v/", "/x"], ["http://h:1/v//", "x"]]) {
    assert.equal(url.join(base, path), "http://h:1/v/x");
  }
  assert.throws(() => get("http://h/?q=1").join("x").send(), Other);
});

test("each status becomes the documented failure", () => {
  const kinds = {
    302: "malformed", 304: "malformed", 400: "rejected", 401: "unauthorized", 403: "unauthorized", 404: "not-found",
    407: "unauthorized", 408: "timed-out", 410: "not-found", 422: "rejected", 429: "throttled", 500: "unavailable",
    503: "unavailable", 599: "unavailable", 999: "malformed",
  };
  for (const [status, kind] of Object.entries(kinds)) {
    const error = failure(() => answer(Number(status), "").ok());
    assert.deepEqual([error.kind, error.status], [kind, Number(status)]);
  }
  for (const status of [200, 204, 299]) assert.equal(answer(status, "").ok().status, status);
});

test("Retry-After is read in seconds and as a date, and carried where it means something", () => {
  for (const [status, wait] of [[429, 3000], [503, 3000], [500, 3000], [404, undefined]]) {
    assert.equal(failure(() => answer(status, "", { "Retry-After": "3" }).ok()).retryAfterMs, wait);
  }
  const headers = { Date: "Thu, 01 Jan 2026 12:00:00 GMT", "Retry-After": "Thu, 01 Jan 2026 12:00:30 GMT" };
  assert.equal(failure(() => answer(429, "", headers).ok()).retryAfterMs, 30_000);
  const never = () => assert.fail("the clock is not needed");
  assert.equal(retryAfter(" 0 ", undefined, never), 0);
  assert.equal(retryAfter("1.25", undefined, never), 1250);
  assert.equal(retryAfter("9".repeat(30), undefined, never), Number.MAX_SAFE_INTEGER);
  assert.equal(retryAfter(headers.Date, headers["Retry-After"], never), 0);
  assert.equal(retryAfter(headers["Retry-After"], "yesterday", () => Date.UTC(2026, 0, 1, 12)), 30_000);
  for (const value of ["", "-1", "soon", "1,2", "1.", ".5", "1e3", "Thu, 99 Jan 2026 12:00:00 GMT"]) {
    assert.equal(retryAfter(value, undefined, never), undefined, value);
  }
});

test("a 429 without Retry-After waits for the reset of the rate headers", () => {
  const Date = "Thu, 01 Jan 2026 12:00:00 GMT";
  for (const [status, headers, wait] of [
    [429, { "RateLimit-Reset": "42" }, 42_000],
    [429, { Date, "X-RateLimit-Reset": "1767268830" }, 30_000],
    [429, { "Retry-After": "7", "RateLimit-Reset": "42" }, 7000],
    [503, { "RateLimit-Reset": "42" }, undefined],
    [429, { "RateLimit-Reset": "soon" }, undefined],
  ]) {
    assert.equal(failure(() => answer(status, "", headers).ok()).retryAfterMs, wait, JSON.stringify(headers));
  }
  assert.equal(reset("1767268799", Date, () => assert.fail("the clock is not needed")), 0);
  assert.equal(reset("9".repeat(30), Date, () => 0), undefined);
});

test("a message holds no query and little body", () => {
  const error = failure(() => answer(400, "nope ".repeat(500)).ok());
  assert.ok(error.message.startsWith(`GET ${URL_} answered 400 Bad Request: nope`), error.message);
  assert.ok(error.message.length < 300 && !error.message.includes("s3cret"));
});

test("a body that is no JSON or no text is malformed and says where it came from", () => {
  for (const body of ['{"a": ', "<html>", "", Uint8Array.of(0xff, 0x22)]) {
    const error = failure(() => answer(200, body).json());
    assert.deepEqual([error.kind, error.status], ["malformed", 200]);
    assert.ok(error.message.startsWith(`GET ${URL_}: `), error.message);
  }
});

test("UTF-8 is read and written as the platform does", () => {
  for (const text of oddTexts()) {
    assert.deepEqual(encode(text), new TextEncoder().encode(text));
    assert.equal(decode(encode(text)), text.toWellFormed());
  }
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let state = 7;
  for (let count = 0; count < 5000; count += 1) {
    const bytes = Uint8Array.from({ length: count % 6 }, () => (state = (state * 48271) % 2147483647) % 256);
    let expected;
    try {
      expected = strict.decode(bytes);
    } catch {
      assert.throws(() => decode(bytes), URIError);
      continue;
    }
    assert.equal(decode(bytes), expected);
  }
  assert.equal(decode(encode("é".repeat(100_000))).length, 100_000);
});

test("an excerpt is one short line of what a person would read", () => {
  assert.equal(excerpt("  a\n\tb\u001b[31mc\u202e  "), "a b [31mc");
  assert.equal([...excerpt("x".repeat(1000))].length, 161);
  assert.equal(bodyExcerpt(encode("<!doctype html><p>no")), "");
  assert.equal(bodyExcerpt(Uint8Array.of(0xff, 0xfe, 0)), "");
  assert.equal(bodyExcerpt(encode(`a${" ".repeat(1022)}é`)), "a");
});

test("documents are looked up by pointer, and what is missing is named", () => {
  const document = { data: { id: "42", tags: ["a"], "a/b": 1, n: null } };
  assert.equal(json.textAt(document, "/data/id"), "42");
  assert.equal(json.at(document, "/data/tags/0"), "a");
  assert.equal(json.at(document, "/data/a~1b"), 1);
  assert.equal(json.at(document, ""), document);
  for (const pointer of ["/data/name", "/data/tags/1", "/data/tags/length", "/data/id/length", "/__proto__", "data"]) {
    assert.throws(() => json.at(document, pointer), Malformed, pointer);
  }
  assert.match(failure(() => json.textAt(document, "/data/n")).message, /null at `\/data\/n` where text was expected/);
  assert.match(failure(() => json.textAt(document, "/data/tags")).message, /an array/);
});

test("each error of the host becomes the documented failure", () => {
  const kinds = {
    denied: "denied", invalid: "invalid-request", unreachable: "unavailable", broken: "unavailable",
    "timed-out": "timed-out", "too-large": "malformed", redirects: "malformed", other: "http",
  };
  for (const [tag, kind] of Object.entries(kinds)) {
    const api = new Api();
    api.get(URL_).fails(tag, "why");
    assert.equal(failure(() => api.run(() => get(URL_).send())).kind, kind);
  }
});

test("bodies bring their content type once", () => {
  const api = new Api();
  api.post(URL_).header("content-type", "application/json").body('["a"]').answers(200);
  api.post(URL_).body("a%20b=1%262&c=").answers(200);
  api.run(() => {
    post(URL_).header("Content-Type", "text/plain").json(["a"]).send();
    post(URL_).form({ "a b": "1&2", c: "" }).send();
  });
  assert.equal(failure(() => post(URL_).json(1n).send()).kind, "invalid-request");
  assert.equal(failure(() => post(URL_).json(undefined).send()).kind, "invalid-request");
});

test("sendAll keeps the order around a request that cannot be built, and sends at most 64 at a time", () => {
  const api = new Api();
  api.get(`${URL_}/a`).answers(200, "a");
  api.get(`${URL_}/b`).fails("timed-out");
  const [a, empty, b] = api.run(() =>
    sendAll([get(`${URL_}/{x}`).path("x", "a"), get(`${URL_}/{x}`).path("x", ""), get(`${URL_}/b`)]));
  assert.equal(a.text(), "a");
  assert.ok(empty instanceof Rejected && b instanceof TimedOut);
  const many = new Api();
  for (let page = 0; page < 130; page += 1) many.get(`${URL_}/${page}`).answers(200, String(page));
  const answers = many.run(() => sendAll(Array.from({ length: 130 }, (_, page) => get(`${URL_}/{p}`).path("p", page))));
  assert.deepEqual(answers.map((each) => each.text()), Array.from({ length: 130 }, (_, page) => String(page)));
});

test("records keep what the API gave", () => {
  const kept = Record.json(answer(200, '{ "a" : 1.0 }', { "Content-Type": "application/vnd.api+json" }));
  assert.deepEqual([kept.contentType, decode(kept.body)], ["application/vnd.api+json", '{ "a" : 1.0 }']);
  assert.equal(Record.json(answer(200, "[]", { "Content-Type": "text/html" })).contentType, "application/json");
  assert.throws(() => Record.json(answer(200, "<html>sorry</html>")), Malformed);
  assert.equal(decode(Record.fromValue({ name: "a thing" }).body), '{"name":"a thing"}');
  assert.throws(() => Record.fromValue(undefined), Malformed);
  assert.equal(Record.raw(answer(200, "x")).contentType, "application/octet-stream");
  const twice = Record.text("x").withAttribute("rev", 1).withAttribute("rev", 2);
  assert.deepEqual(twice.attributes, { rev: "2" });
  assert.throws(() => new Record("text/plain", null), TypeError);
});

test("a parameter that an item lacks is rejected", () => {
  const request = new FetchRequest("1", { params: { lang: "en" } });
  assert.deepEqual([request.requiredParam("lang"), request.param("toString")], ["en", undefined]);
  assert.throws(() => request.requiredParam("kind"), Rejected);
});

test("a missing setting says where it belongs", () => {
  const api = new Api().config("empty", " ").config("set", "x").config("on", "True");
  api.run(() => {
    assert.match(failure(() => config.required("empty")).message, /damper\.toml/);
    assert.match(failure(() => config.required("absent")).message, /provider\.toml/);
    assert.deepEqual([config.required("set"), config.flag("on"), config.flag("set"), config.flag("no")], ["x", true, false, false]);
  });
});

test("logs, signs and caches like a host", () => {
  const api = new Api().signature("key", [0xfb, 0xff]);
  api.run(() => {
    log.warn("odd");
    const signature = sign.hmacSha256("key", "x");
    assert.deepEqual([signature.hex(), signature.base64(), signature.base64Url()], ["fbff", "+/8=", "-_8"]);
    assert.equal(failure(() => sign.hmacSha512("other", "x")).kind, "config");
    assert.equal(cache.textOr("token", 1000, () => "t"), "t");
    cache.put("large", new Uint8Array(65 * 1024), 1000);
  });
  assert.deepEqual(api.logged, [["warn", "odd"]]);
  api.run(() => {
    assert.equal(cache.textOr("token", 1000, () => assert.fail("it is kept")), "t");
    assert.equal(cache.get("large"), undefined);
  });
  api.clearCache().run(() => assert.equal(cache.get("token"), undefined));
});

test("an order is placed, polled, placed anew when it was forgotten, and fetched", () => {
  const keys = [];
  const steps = {
    place: (key) => twoStep.ordered(keys.push(key), 5_000),
    poll: (order) => (order === "1" ? twoStep.forgotten : Record.text(`of ${order}`)),
  };
  const thrown = (request) => {
    try {
      twoStep.fetch(request, steps);
    } catch (error) {
      assert.ok(error instanceof NotReady, String(error));
      return error;
    }
    return assert.fail("it did not throw");
  };
  const first = thrown(new FetchRequest("42"));
  assert.equal(first.retryAfterMs, 5_000);
  const second = thrown(new FetchRequest("42", { resume: first.resume }));
  const record = twoStep.fetch(new FetchRequest("42", { resume: second.resume }), steps);
  assert.equal(new TextDecoder().decode(record.body), "of 2");
  assert.deepEqual(keys, [keys[0], keys[1]]);
  assert.notEqual(keys[0], keys[1]);
  const pending = { place: steps.place, poll: () => twoStep.pending(7_000) };
  assert.throws(() => twoStep.fetch(new FetchRequest("42", { resume: first.resume }), pending), { retryAfterMs: 7_000 });
  assert.throws(() => twoStep.fetch(new FetchRequest("42"), { place: () => "7" }), TypeError);
  for (const missing of [undefined, null, "", NaN, {}, true]) {
    assert.throws(() => twoStep.ordered(missing), Malformed, String(missing));
  }
  assert.equal(twoStep.ordered(7).order, "7");
});

test("the idempotency key is made of the item and the day, as in the other SDKs", () => {
  assert.equal(twoStep.idempotencyKey(new FetchRequest("42")), "b59c48be-e3f1-55ed-92ed-4c5f4b3a0997");
  const other = new FetchRequest("ä/1", { params: { lang: "de" } });
  assert.equal(twoStep.idempotencyKey(other, 1), "da290238-7e81-54bb-82d8-de3aaba47d08");
});
