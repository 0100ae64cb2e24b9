"""The recipes, against a scripted API."""

import unittest

import binary
import oauth2
import paged
import signed
from damper_sdk import Malformed, Rejected, Unauthorized
from damper_sdk.testing import Api, FetchRequest

REQUEST = FetchRequest("42")
FILINGS = "https://api.example.org/v1/companies/42/filings?page="


class Paged(unittest.TestCase):
    def test_all_pages_are_put_together_in_order(self) -> None:
        api = Api()
        api.get(FILINGS + "1").answers(200, '{"items": [1, 2], "pages": 2}')
        api.get(FILINGS + "2").answers(200, '{"items": [3], "pages": 2}')
        self.assertEqual(api.run(lambda: paged.fetch_record(REQUEST)).body, b"[1,2,3]")

    def test_a_page_without_items_is_malformed_and_an_endless_list_is_rejected(self) -> None:
        api = Api()
        api.get(FILINGS + "1").answers(200, '{"pages": 1}')
        with self.assertRaises(Malformed):
            api.run(lambda: paged.fetch_record(REQUEST))
        for page in range(1, 21):
            api.get(f"{FILINGS}{page}").answers(200, '{"items": [], "pages": 99}')
        with self.assertRaises(Rejected):
            api.run(lambda: paged.fetch_record(REQUEST))


class OAuth2(unittest.TestCase):
    def test_the_token_is_asked_for_by_name_and_one_that_is_refused_is_unauthorized(self) -> None:
        api = Api()
        api.get("https://api.example.org/v1/customers/42").credential("token").answers(200, "{}")
        self.assertEqual(api.run(lambda: oauth2.fetch_record(REQUEST)).body, b"{}")
        api.get("https://api.example.org/v1/customers/42").credential("token").answers(401)
        with self.assertRaises(Unauthorized):
            api.run(lambda: oauth2.fetch_record(REQUEST))


class Signed(unittest.TestCase):
    def test_the_signature_of_what_is_sent_is_in_the_header(self) -> None:
        api = Api().signature("signing", bytes([0xAB, 0x01]))
        expected = api.post("https://api.example.org/v1/lookup").header("X-Signature", "ab01")
        expected.body('{"person": "42"}').answers(200, "{}")
        self.assertEqual(api.run(lambda: signed.fetch_record(REQUEST)).body, b"{}")


class Binary(unittest.TestCase):
    def test_a_document_keeps_its_bytes_and_its_revision_and_a_page_of_html_is_none(self) -> None:
        api = Api()
        url = "https://files.example.org/filings/42.pdf"
        filing = api.get(url).answer_header("content-type", "application/pdf").answer_header("etag", '"7"')
        filing.answers(200, b"%PDF-1.7")
        record = api.run(lambda: binary.fetch_record(REQUEST))
        self.assertEqual((record.content_type, record.body), ("application/pdf", b"%PDF-1.7"))
        self.assertEqual(record.attributes["revision"], '"7"')
        api.get(url).answers(200, "<html>")
        with self.assertRaises(Malformed):
            api.run(lambda: binary.fetch_record(REQUEST))
