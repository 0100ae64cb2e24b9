import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Malformed, NotFound, Rejected, Throttled } from "damper-sdk";
import { Api, FetchRequest } from "damper-sdk/testing";

import { fetchRecord } from "../src/provider.js";

const LEI = "506700GE1G29325QX363";
const MEDIA_TYPE = "application/vnd.api+json";
const fixture = (name) => readFileSync(new URL(`../../gleif/cases/fixtures/${name}`, import.meta.url), "utf8");
const RECORD = fixture("lei-record.json");

function fetched(status, body) {
  const api = new Api().config("base_url", "https://api.gleif.org/api/v1");
  api.get(`https://api.gleif.org/api/v1/lei-records/${LEI}`)
    .header("Accept", MEDIA_TYPE)
    .answerHeader("Content-Type", MEDIA_TYPE)
    .answerHeader("Retry-After", "30")
    .answers(status, body);
  return api.run(() => fetchRecord(new FetchRequest(LEI)));
}

test("gives the record as the API has it, with its dates", () => {
  const record = fetched(200, RECORD);
  assert.equal(new TextDecoder().decode(record.body), RECORD);
  assert.equal(record.contentType, MEDIA_TYPE);
  assert.deepEqual(record.attributes, {
    registration_status: "ISSUED",
    last_update: "2025-06-24T12:00:19Z",
    golden_copy: "2025-11-03T08:00:00Z",
  });
});

test("an unknown LEI is not found", () => {
  assert.throws(() => fetched(404, fixture("not-found.json")), (error) => error instanceof NotFound && error.status === 404);
});

test("beyond sixty a minute it is throttled", () => {
  assert.throws(() => fetched(429, ""), (error) => error instanceof Throttled && error.retryAfterMs === 30_000);
});

test("another LEI's record, or none, is malformed", () => {
  for (const body of [RECORD.replaceAll(LEI, "5493001KJTIIGC8Y1R12"), '{"data": []}', "<html>maintenance</html>"]) {
    assert.throws(() => fetched(200, body), Malformed);
  }
});

test("what cannot be an LEI is rejected without a request", () => {
  const wrong = ["", LEI.slice(1), `${LEI}3`, "506700GE1G29325QX364", LEI.toLowerCase(), "506700GE1G29325QX3A3", `${LEI}\n`,
    "../../../../etc/host", "506700GE1G29325Q\u00fc63"];
  for (const id of wrong) {
    assert.throws(() => new Api().run(() => fetchRecord(new FetchRequest(id))), Rejected, id);
  }
});
