import unittest
from pathlib import Path

from damper_sdk import Malformed, NotFound, Record, Rejected, Throttled
from damper_sdk.testing import Api, FetchRequest
from provider import MEDIA_TYPE, fetch_record

LEI = "506700GE1G29325QX363"
FIXTURES = Path(__file__).resolve().parents[2] / "gleif/cases/fixtures"
RECORD = (FIXTURES / "lei-record.json").read_text(encoding="utf-8")


def fetched(status: int, body: str) -> Record:
    api = Api().config("base_url", "https://api.gleif.org/api/v1")
    (
        api.get(f"https://api.gleif.org/api/v1/lei-records/{LEI}")
        .header("Accept", MEDIA_TYPE)
        .answer_header("Content-Type", MEDIA_TYPE)
        .answer_header("Retry-After", "30")
        .answers(status, body)
    )
    return api.run(lambda: fetch_record(FetchRequest(LEI)))


class Provider(unittest.TestCase):
    def test_gives_the_record_as_the_api_has_it_with_its_dates(self) -> None:
        record = fetched(200, RECORD)
        self.assertEqual(record.body, RECORD.encode("utf-8"))
        self.assertEqual(record.content_type, MEDIA_TYPE)
        dates = {"last_update": "2025-06-24T12:00:19Z", "golden_copy": "2025-11-03T08:00:00Z"}
        self.assertEqual(record.attributes, {"registration_status": "ISSUED", **dates})

    def test_an_unknown_lei_is_not_found(self) -> None:
        with self.assertRaises(NotFound) as raised:
            fetched(404, (FIXTURES / "not-found.json").read_text(encoding="utf-8"))
        self.assertEqual(raised.exception.status, 404)

    def test_beyond_sixty_a_minute_it_is_throttled(self) -> None:
        with self.assertRaises(Throttled) as raised:
            fetched(429, "")
        self.assertEqual(raised.exception.retry_after, 30.0)

    def test_another_leis_record_or_none_is_malformed(self) -> None:
        for body in (RECORD.replace(LEI, "5493001KJTIIGC8Y1R12"), '{"data": []}', "<html>maintenance</html>"):
            with self.assertRaises(Malformed):
                fetched(200, body)

    def test_what_cannot_be_an_lei_is_rejected_without_a_request(self) -> None:
        wrong = [
            "", LEI[1:], LEI + "3", "506700GE1G29325QX364", LEI.lower(), "506700GE1G29325QX3A3", LEI + "\n",
            "../../../../etc/host", "506700GE1G29325Q\u00fc63", "\u0665" * 20,
        ]  # fmt: skip
        for lei in wrong:
            with self.assertRaises(Rejected, msg=lei):
                Api().run(lambda: fetch_record(FetchRequest(lei)))
