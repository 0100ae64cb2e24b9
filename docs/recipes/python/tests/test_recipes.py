"""The recipes, against a scripted API."""

import unittest

import binary
import oauth2
import paged
import signed
import soap
import standard
import two_step
from damper_sdk import Malformed, NotFound, NotReady, Other, Record, Rejected, Unauthorized, Unavailable
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


class Standard(unittest.TestCase):
    def vendor(self, endpoint: str, version: str, credential: str) -> Api:
        return Api().config("endpoint", endpoint).config("standard", version).config("access", credential)

    def test_each_vendor_gets_its_version_and_credential(self) -> None:
        for endpoint, version, credential in [
            ("https://api.acme-life.example/v2", "2.1", "login"),
            ("https://ws.northern.example", "2.0", "token"),
        ]:
            api = self.vendor(endpoint, version, credential)
            policy = api.get(f"{endpoint}/policies/42").credential(credential)
            policy.header("Accept", f"application/vnd.example.policy+json;version={version}").answers(200, "{}")
            self.assertEqual(api.run(lambda: standard.fetch_record(REQUEST)).body, b"{}")

    def test_a_credential_that_the_manifest_does_not_have_is_a_mistake_of_the_config(self) -> None:
        api = self.vendor("https://ws.northern.example", "2.0", "password")
        with self.assertRaises(Other):
            api.run(lambda: standard.fetch_record(REQUEST))


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


class TwoStep(unittest.TestCase):
    REPORTS = "https://api.example.org/v1/reports"

    def not_ready(self, api: Api, resume: bytes | None) -> NotReady:
        with self.assertRaises(NotReady) as raised:
            api.run(lambda: two_step.fetch_record(FetchRequest("42", resume=resume)))
        return raised.exception

    def test_a_report_is_ordered_once_polled_ordered_anew_when_forgotten_and_fetched(self) -> None:
        api = Api()
        api.post(self.REPORTS).answer_header("Retry-After", "30").answers(202, '{"report": "r-1"}')
        ordered = self.not_ready(api, None)
        self.assertEqual(ordered.retry_after, 30)
        api.get(f"{self.REPORTS}/r-1").answers(200, '{"state": "running"}')
        self.not_ready(api, ordered.resume)
        api.get(f"{self.REPORTS}/r-1").answers(404)
        api.post(self.REPORTS).answers(202, '{"report": "r-2"}')
        resume = self.not_ready(api, ordered.resume).resume
        api.get(f"{self.REPORTS}/r-2").answers(200, '{"state": "ready"}')
        api.get(f"{self.REPORTS}/r-2/result").answers(200, '{"score": 7}')
        record = api.run(lambda: two_step.fetch_record(FetchRequest("42", resume=resume)))
        self.assertEqual(record.body, b'{"score": 7}')
        api.get(f"{self.REPORTS}/r-2").answers(200, '{"state": "failed"}')
        with self.assertRaises(Rejected):
            api.run(lambda: two_step.fetch_record(FetchRequest("42", resume=resume)))

    def test_an_order_without_a_number_and_a_state_that_is_missing_are_malformed(self) -> None:
        api = Api()
        for answer in ("{}", '{"report": null}', '{"report": 7}'):
            api.post(self.REPORTS).answers(202, answer)
            with self.assertRaisesRegex(Malformed, "`/report`"):
                api.run(lambda: two_step.fetch_record(REQUEST))
        api.post(self.REPORTS).answers(202, '{"report": "r-1"}')
        resume = self.not_ready(api, None).resume
        api.get(f"{self.REPORTS}/r-1").answers(200, "{}")
        with self.assertRaisesRegex(Malformed, "`/state`"):
            api.run(lambda: two_step.fetch_record(FetchRequest("42", resume=resume)))


class Soap(unittest.TestCase):
    SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
    POLICIES = "urn:example:policies"

    def envelope(self, body: str) -> str:
        return f'<s:Envelope xmlns:s="{self.SOAP}"><s:Body>{body}</s:Body></s:Envelope>'

    def policy(self, inside: str) -> str:
        return self.envelope(f'<Policy xmlns="{self.POLICIES}">{inside}</Policy>')

    def asked(self, status: int, answer: str) -> Record:
        api = Api()
        ask = self.envelope(f'<p:Ask xmlns:p="{self.POLICIES}"><p:Number>A&amp;B</p:Number></p:Ask>')
        expected = api.post("https://soap.example.org/policies").header("SOAPAction", '"ask"')
        expected.body(ask).answers(status, answer)
        return api.run(lambda: soap.fetch_record(FetchRequest("A&B")))

    def test_a_policy_is_a_record_and_errors_inside_of_a_200_are_what_they_mean(self) -> None:
        record = self.asked(200, self.policy('<Result>OK</Result><Value currency="GBP">12.50</Value>'))
        self.assertEqual(record.body, b'{"covers":[],"currency":"GBP","value":"12.50"}')
        for result, failure in (("UNKNOWN", NotFound), ("CLOSED", Rejected)):
            with self.assertRaises(failure):
                self.asked(200, self.policy(f"<Result>{result}</Result>"))
        with self.assertRaises(Malformed):
            self.asked(200, self.policy(""))

    def test_covers_are_a_list(self) -> None:
        covers = '<Cover>Fire</Cover><Value>1</Value><Cover xmlns="urn:x">No</Cover><Cover>Theft</Cover>'
        record = self.asked(200, self.policy(f"<Result>OK</Result>{covers}"))
        self.assertEqual(record.body, b'{"covers":["Fire","Theft"],"currency":null,"value":"1"}')

    def test_a_fault_is_told_from_an_outage(self) -> None:
        def fault(code: str) -> str:
            inside = f"<faultcode>s:{code}</faultcode><faultstring>no</faultstring>"
            return self.envelope(f"<s:Fault>{inside}</s:Fault>")

        for status, answer, failure in (
            (500, fault("Client"), Rejected),
            (500, fault("Server"), Unavailable),
            (503, "", Unavailable),
            (500, "<html>sorry<br>", Unavailable),
        ):
            with self.assertRaises(failure):
                self.asked(status, answer)
