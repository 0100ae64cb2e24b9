"""Requests that are signed with a key that stays in the host."""

import json

from damper_sdk import FetchRequest, Record, http, sign

PATH = "/v1/lookup"


def fetch_record(request: FetchRequest) -> Record:
    """Fetches a person.

    The API requires the HMAC-SHA-256 of method, path and body in a header; the key is the credential `signing` (kind
    `hmac`).
    """
    # Sign and send the same bytes.
    body = json.dumps({"person": request.id})
    signature = sign.hmac_sha256("signing", f"POST\n{PATH}\n{body}")
    answer = (
        http.post("https://api.example.org")
        .join(PATH)
        .header("X-Signature", signature.hex())
        .body("application/json", body)
        .send()
        .ok()
    )
    return Record.json(answer)
