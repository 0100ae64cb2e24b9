// The recipes, against a scripted API.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Malformed, NotFound, NotReady, Other, Rejected, Unauthorized, Unavailable } from "damper-sdk";
import { Api, FetchRequest } from "damper-sdk/testing";

import * as binary from "../binary.js";
import * as oauth2 from "../oauth2.js";
import * as paged from "../paged.js";
import * as signed from "../signed.js";
import * as soap from "../soap.js";
import * as standard from "../standard.js";
import * as twoStep from "../two-step.js";

const text = (record) => new TextDecoder().decode(record.body);
const filings = (page) => `https://api.example.org/v1/companies/42/filings?page=${page}`;

test("paged: all pages are put together, in order", () => {
  const api = new Api();
  api.get(filings(1)).answers(200, '{"items": [1, 2], "pages": 2}');
  api.get(filings(2)).answers(200, '{"items": [3], "pages": 2}');
  assert.equal(text(api.run(() => paged.fetchRecord(new FetchRequest("42")))), "[1,2,3]");
});

test("paged: a page without items is malformed, and an endless list is rejected", () => {
  const api = new Api();
  api.get(filings(1)).answers(200, '{"pages": 1}');
  assert.throws(() => api.run(() => paged.fetchRecord(new FetchRequest("42"))), Malformed);
  for (let page = 1; page <= 20; page += 1) api.get(filings(page)).answers(200, '{"items": [], "pages": 99}');
  assert.throws(() => api.run(() => paged.fetchRecord(new FetchRequest("42"))), Rejected);
});

test("oauth2: the token is asked for by name, and one that is refused is unauthorized", () => {
  const api = new Api();
  const customer = () => api.get("https://api.example.org/v1/customers/42").credential("token");
  customer().answers(200, "{}");
  assert.equal(text(api.run(() => oauth2.fetchRecord(new FetchRequest("42")))), "{}");
  customer().answers(401);
  assert.throws(() => api.run(() => oauth2.fetchRecord(new FetchRequest("42"))), Unauthorized);
});

test("standard: each vendor gets its version and credential, and another one is a mistake of the config", () => {
  const vendor = (endpoint, version, credential) =>
    new Api().config("endpoint", endpoint).config("standard", version).config("access", credential);
  for (const [endpoint, version, credential] of [
    ["https://api.acme-life.example/v2", "2.1", "login"],
    ["https://ws.northern.example", "2.0", "token"],
  ]) {
    const api = vendor(endpoint, version, credential);
    const policy = api.get(`${endpoint}/policies/P-17`).credential(credential);
    policy.header("Accept", `application/vnd.example.policy+json;version=${version}`).answers(200, "{}");
    assert.equal(text(api.run(() => standard.fetchRecord(new FetchRequest("P-17")))), "{}");
  }
  const wrong = vendor("https://ws.northern.example", "2.0", "password");
  assert.throws(() => wrong.run(() => standard.fetchRecord(new FetchRequest("P-17"))), Other);
});

test("signed: the signature of what is sent is in the header", () => {
  const api = new Api().signature("signing", [0xab, 0x01]);
  api.post("https://api.example.org/v1/lookup").header("X-Signature", "ab01").body('{"person":"42"}').answers(200, "{}");
  assert.equal(text(api.run(() => signed.fetchRecord(new FetchRequest("42")))), "{}");
});

test("binary: a document keeps its bytes and its revision, and a page of HTML is none", () => {
  const api = new Api();
  const filing = () => api.get("https://files.example.org/filings/42.pdf").header("Accept", "application/pdf");
  filing().answerHeader("content-type", "application/pdf").answerHeader("etag", '"7"').answers(200, "%PDF-1.7");
  const record = api.run(() => binary.fetchRecord(new FetchRequest("42")));
  assert.deepEqual([record.contentType, text(record), record.attributes.revision], ["application/pdf", "%PDF-1.7", '"7"']);
  filing().answers(200, "<html>");
  assert.throws(() => api.run(() => binary.fetchRecord(new FetchRequest("42"))), Malformed);
});

test("two-step: a report is ordered once, polled, ordered anew when it was forgotten, and fetched", () => {
  const reports = "https://api.example.org/v1/reports";
  const api = new Api();
  const notReady = (resume) => {
    try {
      api.run(() => twoStep.fetchRecord(new FetchRequest("42", { resume })));
    } catch (error) {
      assert.ok(error instanceof NotReady, String(error));
      return error;
    }
    return assert.fail("it is ready");
  };
  api.post(reports).body('{"company":"42"}').answerHeader("Retry-After", "30").answers(202, '{"report": "r-1"}');
  const ordered = notReady();
  assert.equal(ordered.retryAfterMs, 30_000);
  api.get(`${reports}/r-1`).answers(200, '{"state": "running"}');
  notReady(ordered.resume);
  api.get(`${reports}/r-1`).answers(404);
  api.post(reports).answers(202, '{"report": "r-2"}');
  const { resume } = notReady(ordered.resume);
  api.get(`${reports}/r-2`).answers(200, '{"state": "ready"}');
  api.get(`${reports}/r-2/result`).answers(200, '{"score": 7}');
  assert.equal(text(api.run(() => twoStep.fetchRecord(new FetchRequest("42", { resume })))), '{"score": 7}');
  api.get(`${reports}/r-2`).answers(200, '{"state": "failed"}');
  assert.throws(() => api.run(() => twoStep.fetchRecord(new FetchRequest("42", { resume }))), Rejected);
});

test("two-step: an order without a number, and a state that is missing, are malformed", () => {
  const reports = "https://api.example.org/v1/reports";
  const api = new Api();
  for (const answer of ["{}", '{"report": null}', '{"report": 7}']) {
    api.post(reports).answers(202, answer);
    const fetch = () => api.run(() => twoStep.fetchRecord(new FetchRequest("42")));
    assert.throws(fetch, { name: "Malformed", message: /`\/report`/ });
  }
  api.post(reports).answers(202, '{"report": "r-1"}');
  let resume;
  assert.throws(() => api.run(() => twoStep.fetchRecord(new FetchRequest("42"))), (error) => {
    resume = error.resume;
    return error instanceof NotReady;
  });
  api.get(`${reports}/r-1`).answers(200, "{}");
  const poll = () => api.run(() => twoStep.fetchRecord(new FetchRequest("42", { resume })));
  assert.throws(poll, { name: "Malformed", message: /`\/state`/ });
});

const SOAP = "http://schemas.xmlsoap.org/soap/envelope/";
const POLICIES = "urn:example:policies";
const envelope = (body) => `<s:Envelope xmlns:s="${SOAP}"><s:Body>${body}</s:Body></s:Envelope>`;
const policy = (inside) => envelope(`<Policy xmlns="${POLICIES}">${inside}</Policy>`);

function asked(status, answer) {
  const api = new Api();
  const ask = envelope(`<p:Ask xmlns:p="${POLICIES}"><p:Number>A&amp;B</p:Number></p:Ask>`);
  api.post("https://soap.example.org/policies").header("SOAPAction", '"ask"').body(ask).answers(status, answer);
  return api.run(() => soap.fetchRecord(new FetchRequest("A&B")));
}

test("soap: a policy is a record, and errors inside of a 200 are what they mean", () => {
  const record = asked(200, policy('<Result>OK</Result><Value currency="GBP">12.50</Value>'));
  assert.equal(text(record), '{"covers":[],"currency":"GBP","value":"12.50"}');
  assert.throws(() => asked(200, policy("<Result>UNKNOWN</Result>")), NotFound);
  assert.throws(() => asked(200, policy("<Result>CLOSED</Result>")), Rejected);
  assert.throws(() => asked(200, policy("")), Malformed);
});

test("soap: covers are a list", () => {
  const covers = '<Cover>Fire</Cover><Value>1</Value><Cover xmlns="urn:x">No</Cover><Cover>Theft</Cover>';
  const record = asked(200, policy(`<Result>OK</Result>${covers}`));
  assert.equal(text(record), '{"covers":["Fire","Theft"],"currency":null,"value":"1"}');
});

test("soap: a fault is told from an outage", () => {
  const fault = (code) => envelope(`<s:Fault><faultcode>s:${code}</faultcode><faultstring>no</faultstring></s:Fault>`);
  assert.throws(() => asked(500, fault("Client")), Rejected);
  assert.throws(() => asked(500, fault("Server")), { name: "Unavailable", message: "SOAP fault: no" });
  assert.throws(() => asked(503, ""), Unavailable);
  assert.throws(() => asked(500, "<html>sorry<br>"), Unavailable);
});
