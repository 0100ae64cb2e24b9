"""An API that answers in pages, told apart by a number."""

from damper_sdk import FetchRequest, Record, Rejected, http, json

# The most pages of one record. It also ends the loop if an API always has a next page.
MAX_PAGES = 20


def fetch_record(request: FetchRequest) -> Record:
    """All filings of a company."""
    filings: list[object] = []
    for page in range(1, MAX_PAGES + 1):
        answer = (
            http.get("https://api.example.org/v1/companies/{id}/filings")
            .path("id", request.id)
            .query("page", page)
            .send()
            .ok()
            .json()
        )
        filings.extend(json.at(answer, "/items"))
        if page >= json.at(answer, "/pages"):
            return Record.from_value(filings)
    raise Rejected(f"it has more than {MAX_PAGES} pages")
