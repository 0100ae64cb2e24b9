// An API that answers in pages, told apart by a number.

import { Record, Rejected, get, json } from "damper-sdk";

/** The most pages of one record. It also ends the loop if an API always has a next page. */
const MAX_PAGES = 20;

/**
 * All filings of a company.
 *
 * @type {import("damper-sdk").FetchRecord}
 */
export function fetchRecord(request) {
  const filings = [];
  for (let page = 1; page <= MAX_PAGES; page += 1) {
    const answer = get("https://api.example.org/v1/companies/{id}/filings")
      .path("id", request.id)
      .query("page", page)
      .send()
      .ok()
      .json();
    filings.push(...json.at(answer, "/items"));
    if (page >= json.at(answer, "/pages")) return Record.fromValue(filings);
  }
  throw new Rejected(`it has more than ${MAX_PAGES} pages`);
}
