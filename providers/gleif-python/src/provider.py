"""GLEIF's LEI records: `GET https://api.gleif.org/api/v1/lei-records/{lei}`, a JSON:API document.

The same provider as providers/gleif and providers/gleif-js, in Python; a test holds the three together.

The API is free and takes no key; its documentation stands at <https://www.gleif.org/en/lei-data/gleif-api>. An id is an LEI
(ISO 17442): 18 letters and digits, and two check digits (ISO 7064, MOD 97-10). One that cannot be an LEI is rejected without
a request.
"""

import re

from damper_sdk import FetchRequest, Malformed, Record, Rejected, config, http, json

MEDIA_TYPE = "application/vnd.api+json"
LEI = re.compile(r"[0-9A-Z]{18}[0-9]{2}")
ATTRIBUTES = {
    "registration_status": "/data/attributes/registration/status",
    "last_update": "/data/attributes/registration/lastUpdateDate",
    "golden_copy": "/meta/goldenCopy/publishDate",
}


def fetch_record(request: FetchRequest) -> Record:
    """Fetches the record of one LEI, as the API gives it, with its registration's state and dates as attributes."""
    check_lei(request.id)
    answer = (
        http.get(config.required("base_url"))
        .join("lei-records/{lei}")
        .path("lei", request.id)
        .header("Accept", MEDIA_TYPE)
        .send()
        .ok()
    )
    document = answer.json()
    if json.text_at(document, "/data/id") != request.id:
        raise Malformed("the API answered with another LEI's record")
    record = Record.json(answer)
    for name, pointer in ATTRIBUTES.items():
        value = json.lookup(document, pointer)
        # Not every record has each of them; the record is whole without.
        if isinstance(value, str):
            record = record.with_attribute(name, value)
    return record


def check_lei(lei: str) -> None:
    """ISO 17442: 20 characters, of which the last two are check digits."""
    if not LEI.fullmatch(lei):
        raise Rejected("not an LEI: it has 18 digits and capital letters and two check digits")
    # ISO 7064 MOD 97-10: the number that results when A to Z are read as 10 to 35, modulo 97.
    if int("".join(str(int(character, 36)) for character in lei)) % 97 != 1:
        raise Rejected("not an LEI: its check digits are wrong")
