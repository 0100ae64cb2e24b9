"""An order first, and its result later."""

from damper_sdk import FetchRequest, Record, Rejected, http, json, two_step

REPORTS = "https://api.example.org/v1/reports"


def fetch_record(request: FetchRequest) -> Record:
    """Orders a report, and fetches it when it is ready."""
    return two_step.fetch(request, lambda key: place(request.id, key), poll)


def place(id: str, key: str) -> two_step.Ordered:
    answer = http.post(REPORTS).header("Idempotency-Key", key).json({"company": id}).send().ok()
    return two_step.Ordered(json.text_at(answer.json(), "/report"), answer.retry_after)


def poll(order: str) -> Record | two_step.Pending | two_step.Forgotten:
    answer = http.get(REPORTS).join("{report}").path("report", order).send()
    if answer.status == 404:
        return two_step.Forgotten()
    state = json.text_at(answer.ok().json(), "/state")
    if state == "ready":
        return Record.json(http.get(REPORTS).join("{report}/result").path("report", order).send().ok())
    if state in ("queued", "running"):
        return two_step.Pending(answer.retry_after)
    raise Rejected(f"the report is {state}")
