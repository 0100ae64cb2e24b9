// An order first, and its result later.

import { Record, Rejected, get, json, post, twoStep } from "damper-sdk";

const REPORTS = "https://api.example.org/v1/reports";

/**
 * Orders a report, and fetches it when it is ready.
 *
 * @type {import("damper-sdk").FetchRecord}
 */
export function fetchRecord(request) {
  return twoStep.fetch(request, { place: (key) => place(request.id, key), poll });
}

function place(id, key) {
  const answer = post(REPORTS).header("Idempotency-Key", key).json({ company: id }).send().ok();
  return twoStep.ordered(json.textAt(answer.json(), "/report"), answer.retryAfterMs);
}

function poll(order) {
  const answer = get(REPORTS).join("{report}").path("report", order).send();
  if (answer.status === 404) return twoStep.forgotten;
  const state = json.textAt(answer.ok().json(), "/state");
  if (state === "ready") return Record.json(get(REPORTS).join("{report}/result").path("report", order).send().ok());
  if (state === "queued" || state === "running") return twoStep.pending(answer.retryAfterMs);
  throw new Rejected(`the report is ${state}`);
}
