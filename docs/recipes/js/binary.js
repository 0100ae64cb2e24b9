// Documents that are no text.

import { Malformed, Record, get } from "damper-sdk";

const PDF = [..."%PDF-"].map((character) => character.charCodeAt(0));

/**
 * Fetches a filing as a PDF, with its revision as an attribute.
 *
 * @type {import("damper-sdk").FetchRecord}
 */
export function fetchRecord(request) {
  const answer = get("https://files.example.org/filings/{id}.pdf")
    .path("id", request.id)
    .header("Accept", "application/pdf")
    .send()
    .ok();
  // An error page with status 200 is not a document.
  if (!PDF.every((byte, index) => answer.body[index] === byte)) throw new Malformed("the answer is no PDF");
  const revision = answer.header("etag");
  const record = Record.raw(answer);
  return revision === undefined ? record : record.withAttribute("revision", revision);
}
