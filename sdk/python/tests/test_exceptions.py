"""Tests of what an exception becomes that a provider does not handle, and of durations that are none."""

import unittest
from typing import Any

from damper_sdk import Throttled, cache, http
from damper_sdk._exceptions import describe
from damper_sdk.testing import Api

# As a component has it, whose folders of modules are called so.
PROVIDER = """
def helper(document):
    return document["data"]

def fetch_record(document):
    return helper(document)

def recurse(document):
    return recurse(document)

def late(document):
    import no_such_module

def encoding(document):
    return b"x".decode("no-such-encoding")
"""


def described(function: str) -> str:
    scope: dict[str, Any] = {}
    exec(compile(PROVIDER, "/2/provider.py", "exec"), scope)
    try:
        scope[function]({})
    except BaseException as error:
        return describe(error)
    raise AssertionError("nothing was raised")


class Exceptions(unittest.TestCase):
    def test_type_message_and_lines_are_told_once(self) -> None:
        self.assertEqual(
            described("fetch_record"),
            "KeyError: 'data' at src/provider.py:3 in helper, called at src/provider.py:6 in fetch_record",
        )

    def test_a_deep_recursion_is_a_short_message(self) -> None:
        text = described("recurse")
        self.assertTrue(text.startswith("RecursionError: ") and " at src/provider.py:9 in recurse" in text, text)
        self.assertLess(len(text), 400)

    def test_a_late_import_says_to_import_at_the_top(self) -> None:
        self.assertIn("import no_such_module at the top of the file", described("late"))
        self.assertIn("import encodings.no_such_encoding at the top of the file", described("encoding"))

    def test_an_exception_quotes_little_and_on_one_line(self) -> None:
        text = describe(ValueError("line\n" * 1000))
        self.assertTrue("\n" not in text and len(text) < 200, text)


class Durations(unittest.TestCase):
    def test_a_duration_that_is_no_number_of_seconds_is_an_error_where_it_is_written(self) -> None:
        for wrong in ("30s", "30", b"30", True, [30], float("nan"), float("inf")):
            with self.subTest(wrong), self.assertRaisesRegex((TypeError, ValueError), "retry_after is a number of seconds"):
                Throttled("slow down", retry_after=wrong)  # type: ignore[arg-type]
        with self.assertRaisesRegex(TypeError, "seconds is a number of seconds"):
            http.get("https://api.example.org").timeout("5s")  # type: ignore[arg-type]
        with self.assertRaisesRegex(TypeError, "ttl is a number of seconds"):
            Api().run(lambda: cache.put("key", "value", "1h"))  # type: ignore[arg-type]

    def test_numbers_and_nothing_are_taken(self) -> None:
        for right in (None, 0, 30, 1.5):
            self.assertEqual(Throttled("slow down", retry_after=right).retry_after, right)
