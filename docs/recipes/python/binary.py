"""Documents that are no text."""

from damper_sdk import FetchRequest, Malformed, Record, http


def fetch_record(request: FetchRequest) -> Record:
    """Fetches a filing as a PDF, with its revision as an attribute."""
    answer = (
        http.get("https://files.example.org/filings/{id}.pdf")
        .path("id", request.id)
        .header("Accept", "application/pdf")
        .send()
        .ok()
    )
    # An error page with status 200 is not a document.
    if not answer.body.startswith(b"%PDF-"):
        raise Malformed("the answer is no PDF")
    revision = answer.header("etag")
    record = Record.raw(answer)
    return record if revision is None else record.with_attribute("revision", revision)
