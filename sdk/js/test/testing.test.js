import assert from "node:assert/strict";
import { test } from "node:test";

import { component } from "../src/component.js";
import { install } from "../src/backend.js";
import { Other, Record, Throttled, get, log, post } from "../src/index.js";
import { Api } from "../src/testing.js";
import { decode } from "../src/utf8.js";

const URL_ = "https://api.example.org/things";

test("a request that differs says how", () => {
  const api = new Api();
  api.post(URL_).header("Accept", "text/plain").credential("key").body("a").answers(200);
  assert.throws(
    () => api.run(() => get(`${URL_}/1`).header("accept", "*/*").send()),
    (error) => ["POST", "GET", "/things/1", "text/plain", "*/*", "credential", "body"].every((part) => error.message.includes(part)),
  );
});

test("what the provider sends beyond the script, or not at all, fails the test even where it is caught", () => {
  assert.throws(() => new Api().run(() => get(URL_).send()), /expects no further request/);
  assert.throws(() => new Api().run(() => {
    try {
      get(URL_).send();
    } catch {
      // A provider that swallows everything.
    }
  }), /expects no further request/);
  assert.throws(() => new Api().get(URL_).answers(200).run(() => {}), /was not sent/);
});

test("outside of run there is no host, and after a failed run it is as before", () => {
  assert.throws(() => get(URL_).send(), /run\(\)/);
  assert.throws(() => new Api().run(() => get(URL_).send()));
  new Api().run(() => log.info("still here"));
});

test("refuses what the host refuses", () => {
  const api = new Api();
  api.run(() => {
    for (const [name, value] of [["Authorization", "x"], ["host", "x"], ["proxy-thing", "x"], ["X-Ok", "a\r\nb: c"], ["bad name", "x"], ["", "x"]]) {
      assert.throws(() => get(URL_).header(name, value).send(), (error) => error.kind === "invalid-request", name);
    }
  });
  assert.equal(api.requestsSent, 0);
});

/** The component's side with a host of its own; answers what it logged beside the function. */
function exported(fetchRecord, http = {}) {
  const logged = [];
  const host = { log: (level, message) => logged.push([level, message]) };
  const call = component({ fetchRecord }, http, host);
  const request = (id) => ({ id, params: [["lang", "en"]], attempt: 2, day: "2026-01-15", deadlineMs: 5, extras: [] });
  return { logged, call: (id) => call(request(id)) };
}

test("a component hands the request in and the record out in the contract's shapes", (t) => {
  t.after(() => install(undefined));
  const { call } = exported(
    (request) => Record.json(post(`${URL_}/{id}`).path("id", request.id).query("lang", request.param("lang")).send().ok())
      .withAttribute("attempt", request.attempt),
    { send: (request) => ({ status: 200, headers: [], body: request.body ?? new Uint8Array([0x5b, 0x5d]), url: request.url, durationMs: 1, extras: [] }) },
  );
  const record = call("a/b");
  assert.deepEqual(
    [record.contentType, decode(record.body), record.attributes, record.extras],
    ["application/json", "[]", [["attempt", "2"]], []],
  );
});

test("an error that the engine wrapped is the failure it stands for", (t) => {
  t.after(() => install(undefined));
  const send = () => {
    throw Object.assign(new Error("[object Object] (see error.payload)"), { payload: { tag: "broken", val: "reset" } });
  };
  const { call } = exported(() => Record.json(get(URL_).send()), { send });
  assert.throws(() => call("1"), (caught) => caught.kind.tag === "unavailable" && caught.message.includes("reset"));
});

test("a component's failures are the contract's, and a defect is none of them", (t) => {
  t.after(() => install(undefined));
  const thrown = (error) => {
    const { call, logged } = exported(() => {
      throw error;
    });
    try {
      call("1");
    } catch (caught) {
      return { caught, logged };
    }
    return assert.fail("nothing was thrown");
  };
  const { caught } = thrown(new Throttled("slow down", { retryAfterMs: 1500.7, status: 429 }));
  assert.deepEqual(caught, { kind: { tag: "throttled" }, message: "slow down", retryAfterMs: 1500, status: 429, extras: [] });
  assert.deepEqual(thrown(new Other("denied", "no")).caught.kind, { tag: "other", val: "denied" });
  const exception = { tag: "other", val: "exception" };
  const { caught: defect, logged } = thrown(new TypeError("boom"));
  assert.deepEqual([defect.kind, defect.message, logged], [exception, "TypeError: boom", []]);
  const forged = thrown({ kind: { tag: "not-found" }, message: "forged" }).caught;
  assert.deepEqual(forged.kind, exception);
  for (const wrong of [async () => Record.text("x"), () => ({ contentType: "a/b", body: new Uint8Array() }), () => undefined]) {
    assert.throws(() => exported(wrong).call("1"), ({ kind, message }) => kind.val === "exception" && /^TypeError: /.test(message));
  }
});
