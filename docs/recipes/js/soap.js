// SOAP: errors inside of a 200, and faults with status 500.

import { Malformed, NotFound, Record, Rejected, Unavailable, post, text, xml } from "damper-sdk";

const SOAP = "http://schemas.xmlsoap.org/soap/envelope/";
const POLICIES = "urn:example:policies";

/**
 * The value of a policy, and its covers.
 *
 * @type {import("damper-sdk").FetchRecord}
 */
export function fetchRecord(request) {
  const ask = `<p:Ask xmlns:p="${POLICIES}"><p:Number>${xml.escape(request.id)}</p:Number></p:Ask>`;
  const answer = post("https://soap.example.org/policies")
    .header("SOAPAction", '"ask"')
    .body("text/xml; charset=utf-8", `<s:Envelope xmlns:s="${SOAP}"><s:Body>${ask}</s:Body></s:Envelope>`)
    .send();
  const body = envelopeOf(answer).required(SOAP, "Body");
  const fault = body.child(SOAP, "Fault");
  if (fault !== undefined) throw failureOf(fault);
  const policy = body.required(POLICIES, "Policy");
  const result = policy.required(POLICIES, "Result").text;
  if (result === "UNKNOWN") throw new NotFound("no such policy");
  if (result !== "OK") throw new Rejected(`the service says ${text.short(result)}`);
  const value = policy.required(POLICIES, "Value");
  // A list: the element occurs once for each cover, or not at all.
  const covers = policy.childrenNamed(POLICIES, "Cover").map((cover) => cover.text);
  return Record.fromValue({ covers, currency: value.attribute("currency") ?? null, value: value.text });
}

/** A fault has status 500 but is not an outage: read it before `ok`. An error page with 500 is an outage. */
function envelopeOf(answer) {
  if (answer.status !== 500) return answer.ok().xml();
  try {
    return answer.xml();
  } catch (error) {
    if (error instanceof Malformed) answer.ok();
    throw error;
  }
}

/** Tells a failure of the service from a request that it will never accept. */
function failureOf(fault) {
  const said = (name) => text.short(fault.child("", name)?.text ?? "");
  const message = `SOAP fault: ${said("faultstring")}`;
  return said("faultcode").endsWith("Client") ? new Rejected(message) : new Unavailable(message);
}
