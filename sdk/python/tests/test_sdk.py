"""Tests of the SDK, run natively. Run: PYTHONPATH=src python3 -m unittest discover -s tests"""

import random
import unittest
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from damper_sdk import (
    Failure,
    FetchRequest,
    Malformed,
    NotReady,
    Other,
    Record,
    Rejected,
    Response,
    TimedOut,
    cache,
    config,
    http,
    json,
    log,
    sign,
    two_step,
)
from damper_sdk import _retry_after, _text, _url
from damper_sdk.testing import Api, ScriptError

URL = "https://api.example.org/things"


def answer(status: int, body: str | bytes, headers: dict[str, str] | None = None) -> Response:
    """The answer of a scripted API to one GET."""
    expectation = Api().get(f"{URL}?key=s3cret")
    for name, value in (headers or {}).items():
        expectation.answer_header(name, value)
    return expectation.answers(status, body).run(lambda: http.get(f"{URL}?key=s3cret").send())


def failure(make: Callable[[], Any]) -> Failure:
    try:
        make()
    except Failure as raised:
        return raised
    raise AssertionError("nothing was raised")


def odd_texts() -> Iterator[str]:
    """A few thousand odd texts, the same each time."""
    alphabet = ["a", "Z", "0", ".", "..", "/", "\\", "%", "%2e", "?", "#", "&", "=", " ", "\n", "\0", '"', "'", "é", "漢", "😀"]
    chance = random.Random(1)
    for _ in range(3000):
        yield "".join(chance.choice(alphabet) for _ in range(chance.randrange(7)))


class Urls(unittest.TestCase):
    def test_an_id_never_escapes_its_segment(self) -> None:
        for text in odd_texts():
            try:
                built = _url.build("https://h.example/v1/{id}/tail", {"id": text}, [])
            except Rejected:
                self.assertEqual(text.strip("."), "", repr(text))
                continue
            parsed = urlsplit(built)
            segments = parsed.path.split("/")
            self.assertEqual((len(segments), segments[1], segments[3]), (4, "v1", "tail"))
            self.assertEqual(unquote(segments[2]), text)
            self.assertEqual((parsed.hostname, parsed.query, parsed.fragment), ("h.example", "", ""))

    def test_a_query_value_never_adds_a_pair(self) -> None:
        for text in odd_texts():
            parsed = urlsplit(_url.build("https://h.example/x?first=1", {}, [("b c", text)]))
            pairs = parse_qsl(parsed.query, keep_blank_values=True, strict_parsing=True)
            self.assertEqual(pairs, [("first", "1"), ("b c", text)])

    def test_a_value_stays_in_its_segment(self) -> None:
        url = _url.build("https://h/v1/{id}/x?f={id}", {"id": "a/../b?c#d&e=\"\n%ü!'()*~"}, [])
        quoted = "a%2F..%2Fb%3Fc%23d%26e%3D%22%0A%25%C3%BC%21%27%28%29%2A~"
        self.assertEqual(url, f"https://h/v1/{quoted}/x?f={quoted}")

    def test_segments_of_dots_or_nothing_are_refused(self) -> None:
        for text in ["", ".", "..", "..."]:
            with self.assertRaises(Rejected):
                _url.build("https://h/{id}", {"id": text}, [])
        with self.assertRaises(Rejected):
            _url.build("https://h/{a}{b}", {"a": ".", "b": "."}, [])
        self.assertEqual(_url.build("https://h/{a}.json", {"a": ".."}, []), "https://h/...json")
        self.assertEqual(_url.build("https://h/x?q={a}", {"a": ""}, []), "https://h/x?q=")

    def test_an_authors_slip_is_named_without_what_the_query_holds(self) -> None:
        for template, values, part in [
            ("https://h/{id}", {}, "no value for `{id}`"),
            ("https://h/x", {"id": "1"}, "no placeholder `{id}`"),
            ("https://{id}/x", {"id": "1"}, "placeholder in the host"),
            ("https://h/{id", {"id": "1"}, "without its"),
            ("/v1/x", {}, "not an absolute URL"),
            ("https:///x", {}, "not an absolute URL"),
            ("https://h/x#y", {}, "fragment"),
            ("https://h/{id}?key=s3cret", {}, "no value"),
        ]:
            error = failure(lambda: _url.build(template, values, []))
            self.assertEqual(error.kind, "invalid-request")
            self.assertIn(part, error.message)
            self.assertNotIn("s3cret", error.message)

    def test_a_joined_path_has_one_slash_before_it(self) -> None:
        for base, path in [("http://h:1/v", "x"), ("http://h:1/v/", "/x"), ("http://h:1/v//", "x")]:
            self.assertEqual(_url.join(base, path), "http://h:1/v/x")
        with self.assertRaises(Other):
            http.get("http://h/?q=1").join("x").send()


class Answers(unittest.TestCase):
    def test_each_status_becomes_the_documented_failure(self) -> None:
        kinds = {
            100: "malformed", 302: "malformed", 304: "malformed", 400: "rejected", 401: "unauthorized",
            403: "unauthorized", 404: "not-found", 407: "unauthorized", 408: "timed-out", 410: "not-found",
            422: "rejected", 429: "throttled", 500: "unavailable", 503: "unavailable", 599: "unavailable", 999: "malformed",
        }  # fmt: skip
        for status, kind in kinds.items():
            error = failure(lambda: answer(status, "").ok())
            self.assertEqual((error.kind, error.status), (kind, status))
        for status in (200, 204, 299):
            self.assertEqual(answer(status, "").ok().status, status)

    def test_retry_after_is_carried_where_it_means_something(self) -> None:
        for status, wait in [(429, 3.0), (503, 3.0), (500, 3.0), (404, None)]:
            self.assertEqual(failure(lambda: answer(status, "", {"Retry-After": "3"}).ok()).retry_after, wait)
        headers = {"Date": "Thu, 01 Jan 2026 12:00:00 GMT", "Retry-After": "Thu, 01 Jan 2026 12:00:30 GMT"}
        self.assertEqual(failure(lambda: answer(429, "", headers).ok()).retry_after, 30.0)

    def test_retry_after_is_seconds_or_a_date(self) -> None:
        def never() -> float:
            raise AssertionError("the clock is not needed")

        noon, later = "Thu, 01 Jan 2026 12:00:00 GMT", "Thu, 01 Jan 2026 12:01:00 GMT"
        for value, date, wait in [
            (" 0 ", None, 0.0), ("1.25", None, 1.25), ("9" * 400, None, float(2**53 // 1000)),
            (later, noon, 60.0), (noon, later, 0.0),
        ]:  # fmt: skip
            self.assertEqual(_retry_after.parse(value, date, never), wait)
        self.assertEqual(_retry_after.parse(later, "yesterday", lambda: 1767268800.0), 60.0)
        for value in ["", "-1", "soon", "1,2", "1.", ".5", "1e3", "٣", "Thu, 99 Jan 2026 12:00:00 GMT"]:
            self.assertIsNone(_retry_after.parse(value, None, never), value)

    def test_a_429_without_retry_after_waits_for_the_reset_of_the_rate_headers(self) -> None:
        date = "Thu, 01 Jan 2026 12:00:00 GMT"
        for status, headers, wait in [
            (429, {"RateLimit-Reset": "42"}, 42.0),
            (429, {"Date": date, "X-RateLimit-Reset": "1767268830"}, 30.0),
            (429, {"Retry-After": "7", "RateLimit-Reset": "42"}, 7.0),
            (503, {"RateLimit-Reset": "42"}, None),
            (429, {"RateLimit-Reset": "soon"}, None),
        ]:
            self.assertEqual(failure(lambda: answer(status, "", headers).ok()).retry_after, wait, headers)
        self.assertEqual(_retry_after.reset("1767268799", date, lambda: self.fail("not needed")), 0.0)
        self.assertIsNone(_retry_after.reset("9" * 30, date, lambda: 0.0))

    def test_a_message_holds_no_query_and_little_body(self) -> None:
        error = failure(lambda: answer(400, "nope " * 500).ok())
        self.assertTrue(error.message.startswith(f"GET {URL} answered 400 Bad Request: nope"), error.message)
        self.assertLess(len(error.message), 300)
        self.assertNotIn("s3cret", error.message)

    def test_a_body_that_is_no_json_is_malformed_and_located(self) -> None:
        bodies: list[str | bytes] = ['{"a": ', "<html>", "", "NaN", "[" * 100_000, b"\xff"]
        for body in bodies:
            error = failure(lambda: answer(200, body).json())
            self.assertEqual((error.kind, error.status), ("malformed", 200))
            self.assertTrue(error.message.startswith(f"GET {URL}: "), error.message)

    def test_an_excerpt_is_one_short_line(self) -> None:
        self.assertEqual(_text.excerpt("  a\n\tb\x1b[31mc\u202e  "), "a b [31mc")
        self.assertEqual(len(_text.excerpt("x" * 1000)), 161)
        self.assertEqual(_text.body_excerpt(b"<!doctype html><p>no"), "")
        self.assertEqual(_text.body_excerpt(b"\xff\xfe\0"), "")
        self.assertEqual(_text.body_excerpt(b"a" + b" " * 1022 + "é".encode()), "a")

    def test_documents_are_looked_up_by_pointer(self) -> None:
        document = {"data": {"id": "42", "tags": ["a"], "a/b": 1, "n": None, "t": True}}
        self.assertEqual(json.text_at(document, "/data/id"), "42")
        self.assertEqual(json.at(document, "/data/tags/0"), "a")
        self.assertEqual(json.at(document, "/data/a~1b"), 1)
        self.assertIs(json.at(document, ""), document)
        for pointer in ["/data/name", "/data/tags/1", "/data/tags/-1", "/data/id/0", "data"]:
            with self.assertRaises(Malformed):
                json.at(document, pointer)
        for pointer, found in [("/data/n", "null"), ("/data/tags", "an array"), ("/data/t", "a boolean")]:
            self.assertIn(f"{found} at `{pointer}`", failure(lambda: json.text_at(document, pointer)).message)


class Requests(unittest.TestCase):
    def test_each_error_of_the_host_becomes_the_documented_failure(self) -> None:
        for tag, kind in [
            ("denied", "denied"), ("invalid", "invalid-request"), ("unreachable", "unavailable"),
            ("broken", "unavailable"), ("timed-out", "timed-out"), ("too-large", "malformed"),
            ("redirects", "malformed"), ("other", "http"),
        ]:  # fmt: skip
            api = Api().get(URL).fails(tag, "why")  # type: ignore[arg-type]
            self.assertEqual(failure(lambda: api.run(lambda: http.get(URL).send())).kind, kind)

    def test_bodies_bring_their_content_type_once(self) -> None:
        api = Api().post(URL).header("content-type", "application/json").body('["a"]').answers(200)
        api.post(URL).body("a%20b=1%262&c=").answers(200)

        def send() -> None:
            http.post(URL).header("Content-Type", "text/plain").json(["a"]).send()
            http.post(URL).form({"a b": "1&2", "c": ""}).send()

        api.run(send)
        for odd in (object(), float("nan")):
            self.assertEqual(failure(lambda: http.post(URL).json(odd).send()).kind, "invalid-request")

    def test_send_all_keeps_the_order_and_sends_at_most_64_at_a_time(self) -> None:
        api = Api().get(f"{URL}/a").answers(200, "a").get(f"{URL}/b").fails("timed-out")
        requests = [http.get(f"{URL}/{{x}}").path("x", value) for value in ("a", "")] + [http.get(f"{URL}/b")]
        first, empty, last = api.run(lambda: http.send_all(requests))
        assert isinstance(first, Response)
        self.assertEqual(first.text(), "a")
        self.assertIsInstance(empty, Rejected)
        self.assertIsInstance(last, TimedOut)
        for page in range(130):
            api.get(f"{URL}/{page}").answers(200, str(page))
        answers = api.run(lambda: http.send_all(http.get(f"{URL}/{page}") for page in range(130)))
        self.assertEqual([each.text() for each in answers if isinstance(each, Response)], [str(page) for page in range(130)])

    def test_a_parameter_that_an_item_lacks_is_rejected(self) -> None:
        request = FetchRequest("1", params={"lang": "en"})
        self.assertEqual((request.required_param("lang"), request.param("kind")), ("en", None))
        with self.assertRaises(Rejected):
            request.required_param("kind")


class Records(unittest.TestCase):
    def test_records_keep_what_the_api_gave(self) -> None:
        kept = Record.json(answer(200, '{ "a" : 1.0 }', {"Content-Type": "application/vnd.api+json"}))
        self.assertEqual((kept.content_type, kept.body), ("application/vnd.api+json", b'{ "a" : 1.0 }'))
        self.assertEqual(Record.json(answer(200, "[]", {"Content-Type": "text/html"})).content_type, "application/json")
        with self.assertRaises(Malformed):
            Record.json(answer(200, "<html>sorry</html>"))
        self.assertEqual(Record.from_value({"name": "a thing"}).body, b'{"name":"a thing"}')
        with self.assertRaises(Malformed):
            Record.from_value(object())
        self.assertEqual(Record.raw(answer(200, "x")).content_type, "application/octet-stream")
        twice = Record.text("x").with_attribute("rev", "1").with_attribute("rev", "2")
        self.assertEqual(twice.attributes, {"rev": "2"})


class Host(unittest.TestCase):
    def test_a_missing_setting_says_where_it_belongs(self) -> None:
        def look() -> None:
            self.assertIn("damper.toml", failure(lambda: config.required("empty")).message)
            self.assertIn("provider.toml", failure(lambda: config.required("absent")).message)
            self.assertEqual(config.required("set"), "x")
            self.assertEqual([config.flag(key) for key in ("on", "set", "absent")], [True, False, False])

        Api().config("empty", " ").config("set", "x").config("on", "True").run(look)

    def test_logs_signs_and_caches_like_a_host(self) -> None:
        api = Api().signature("key", b"\xfb\xff")

        def first() -> None:
            log.warn("odd")
            signature = sign.hmac_sha256("key", "x")
            self.assertEqual((signature.hex(), signature.base64(), signature.base64_url()), ("fbff", "+/8=", "-_8"))
            self.assertEqual(failure(lambda: sign.hmac_sha512("other", "x")).kind, "config")
            self.assertEqual(cache.text_or("token", 1, lambda: "t"), "t")
            cache.put("large", bytes(65 * 1024), 1)

        def second() -> None:
            self.assertEqual(cache.text_or("token", 1, lambda: self.fail("it is kept")), "t")
            self.assertIsNone(cache.get("large"))

        api.run(first)
        self.assertEqual(api.logged, [("warn", "odd")])
        api.run(second)
        api.clear_cache().run(lambda: self.assertIsNone(cache.get("token")))


class Scripts(unittest.TestCase):
    def test_a_request_that_differs_says_how(self) -> None:
        api = Api().post(URL).header("Accept", "text/plain").credential("key").body("a").answers(200)
        with self.assertRaises(ScriptError) as raised:
            api.run(lambda: http.get(f"{URL}/1").header("accept", "*/*").send())
        for part in ("POST", "GET", "/things/1", "text/plain", "*/*", "credential", "body"):
            self.assertIn(part, str(raised.exception))

    def test_what_is_sent_beyond_the_script_or_not_at_all_fails_even_where_it_is_caught(self) -> None:
        def swallow() -> None:
            try:
                http.get(URL).send()
            except BaseException:
                pass

        for test in (lambda: http.get(URL).send(), swallow):
            with self.assertRaisesRegex(ScriptError, "expects no further request"):
                Api().run(test)
        with self.assertRaisesRegex(ScriptError, "was not sent"):
            Api().get(URL).answers(200).run(lambda: None)

    def test_outside_of_run_there_is_no_host_and_after_a_failed_run_it_is_as_before(self) -> None:
        for _ in range(2):
            with self.assertRaisesRegex(RuntimeError, r"run\(\)"):
                http.get(URL).send()
            with self.assertRaises(ScriptError):
                Api().run(lambda: http.get(URL).send())
        Api().run(lambda: log.info("still here"))

    def test_refuses_what_the_host_refuses(self) -> None:
        api = Api()
        for name, value in [
            ("Authorization", "x"), ("host", "x"), ("proxy-thing", "x"), ("X-Ok", "a\r\nb: c"), ("bad name", "x"), ("", "x"),
        ]:  # fmt: skip
            error = failure(lambda: api.run(lambda: http.get(URL).header(name, value).send()))
            self.assertEqual(error.kind, "invalid-request", name)
        self.assertEqual(api.requests_sent, 0)

class TwoStep(unittest.TestCase):
    def setUp(self) -> None:
        self.keys: list[str] = []

    def place(self, key: str) -> two_step.Ordered:
        self.keys.append(key)
        return two_step.Ordered(str(len(self.keys)), retry_after=5)

    def poll(self, order: str) -> Record | two_step.Forgotten:
        return two_step.Forgotten() if order == "1" else Record.text(f"of {order}")

    def not_ready(self, resume: bytes | None) -> NotReady:
        with self.assertRaises(NotReady) as raised:
            two_step.fetch(FetchRequest("42", resume=resume), self.place, self.poll)
        return raised.exception

    def test_an_order_is_placed_polled_placed_anew_when_forgotten_and_fetched(self) -> None:
        first = self.not_ready(None)
        self.assertEqual(first.retry_after, 5)
        second = self.not_ready(first.resume)
        record = two_step.fetch(FetchRequest("42", resume=second.resume), self.place, self.poll)
        self.assertEqual(record.body, b"of 2")
        self.assertEqual(len(set(self.keys)), 2)
        with self.assertRaises(NotReady) as raised:
            two_step.fetch(FetchRequest("42", resume=first.resume), self.place, lambda order: two_step.Pending(7))
        self.assertEqual((raised.exception.resume, raised.exception.retry_after), (first.resume, 7))

    def test_an_answer_that_does_not_name_the_order_is_malformed(self) -> None:
        for missing in [None, "", 1.5, {}, True]:
            with self.assertRaises(Malformed, msg=repr(missing)):
                two_step.fetch(FetchRequest("42"), lambda key: two_step.Ordered(missing), self.poll)
        with self.assertRaises(NotReady):
            two_step.fetch(FetchRequest("42"), lambda key: two_step.Ordered(7), self.poll)

    def test_a_resume_state_that_cannot_be_read_places_the_order_anew(self) -> None:
        for resume in [b"", b"7", b"{}", b'{"order": 7, "forgotten": 0}', b"\xff"]:
            self.not_ready(resume)
        self.assertEqual(len(set(self.keys)), 1)

    def test_the_idempotency_key_is_made_of_the_item_and_the_day_as_in_the_other_sdks(self) -> None:
        self.assertEqual(two_step.idempotency_key(FetchRequest("42")), "b59c48be-e3f1-55ed-92ed-4c5f4b3a0997")
        other = FetchRequest("ä/1", params={"lang": "de"})
        self.assertEqual(two_step.idempotency_key(other, 1), "da290238-7e81-54bb-82d8-de3aaba47d08")


if __name__ == "__main__":
    unittest.main()
