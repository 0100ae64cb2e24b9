"""A scripted API, for an author's own tests: the provider function runs natively, under pytest or unittest.

The script says which requests are expected, in order, and how each is answered. An unexpected request fails the test
and says how it differs.
"""

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self, TypeVar

from ._backend import Answered, NotAnswered, Prepared, SignRefused, install
from .record import FetchRequest

__all__ = ["Api", "Expectation", "FetchRequest", "ScriptError"]

T = TypeVar("T")

#: Why there was no whole answer, in the contract's words.
HttpErrorTag = Literal[
    "denied", "invalid", "unreachable", "broken", "timed-out", "too-large", "redirects", "other"
]

# The contract's bounds on what a provider may cache.
_CACHE_KEY_BYTES = 256
_CACHE_VALUE_BYTES = 64 * 1024
# Headers that the host sets.
_THE_HOSTS = frozenset(
    ("host", "authorization", "cookie", "connection", "content-length", "transfer-encoding", "upgrade", "te", "proxy")
)
# RFC 9110's `token`.
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")


class ScriptError(AssertionError):
    """The provider and the script differ."""


@dataclass
class _Expected:
    method: str
    url: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)
    body: bytes | None = None
    answer: Answered | NotAnswered = NotAnswered("other", "no answer given")


class Api:
    """A scripted API, and the host around it."""

    def __init__(self) -> None:
        self._expected: deque[_Expected] = deque()
        self._config: dict[str, str] = {}
        self._cache: dict[str, bytes] = {}
        self._signatures: dict[str, bytes] = {}
        self._problem: ScriptError | None = None
        #: The messages logged so far: level and text.
        self.logged: list[tuple[str, str]] = []
        #: How many requests were sent so far.
        self.requests_sent = 0

    def config(self, key: str, value: str) -> Self:
        """Sets a key of provider.toml's `[config]`; a key that is not set is not listed."""
        self._config[key] = value
        return self

    def signature(self, credential: str, signature: bytes) -> Self:
        """Sets what `sign` gives for a credential, whatever is signed."""
        self._signatures[credential] = signature
        return self

    def get(self, url: str) -> "Expectation":
        """Expects a GET of exactly this URL, after what is expected already."""
        return self.expect("GET", url)

    def post(self, url: str) -> "Expectation":
        """Expects a POST to exactly this URL, after what is expected already."""
        return self.expect("POST", url)

    def expect(self, method: str, url: str) -> "Expectation":
        """Expects a request of any method to exactly this URL, after what is expected already."""
        return Expectation(self, _Expected(method, url))

    def clear_cache(self) -> Self:
        """Forgets what was cached, as the host does when a call failed as `unauthorized`."""
        self._cache.clear()
        return self

    def run(self, test: Callable[[], T]) -> T:
        """Runs a provider function, or anything else of the SDK, against the script; raises where the two differ."""
        self._problem = None
        before = install(_Player(self))
        try:
            result = test()
        finally:
            install(before)
            # Also where the provider caught it.
            if self._problem is not None:
                raise self._problem
        if self._expected:
            following = self._expected[0]
            raise ScriptError(
                f"{len(self._expected)} request(s) not sent; the next, {following.method} {following.url}, was not sent"
            )
        return result

    def _send(self, request: Prepared) -> Answered | NotAnswered:
        refused = _refusal(request.headers)
        if refused is not None:
            return NotAnswered("invalid", refused)
        self.requests_sent += 1
        if not self._expected:
            raise self._fail(
                f"the script expects no further request, but the provider sent {request.method} {request.url}"
            )
        expected = self._expected.popleft()
        lines = _differences(expected, request)
        if lines:
            raise self._fail("the provider sent another request than the script expects:\n" + "\n".join(lines))
        answer = expected.answer
        if isinstance(answer, Answered) and not answer.url:
            return Answered(answer.status, answer.headers, answer.body, request.url, answer.duration_ms)
        return answer

    def _fail(self, message: str) -> ScriptError:
        self._problem = self._problem or ScriptError(message)
        return self._problem


class _Player:
    """The host's functions, played from an `Api`'s script."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def send(self, request: Prepared) -> Answered | NotAnswered:
        return self._api._send(request)

    def send_all(self, requests: list[Prepared]) -> list[Answered | NotAnswered]:
        return [self._api._send(request) for request in requests]

    def log(self, level: str, message: str) -> None:
        self._api.logged.append((level, message))

    def config_get(self, key: str) -> str | None:
        return self._api._config.get(key)

    def sign(self, credential: str, algorithm: str, payload: bytes) -> bytes:
        if credential not in self._api._signatures:
            raise SignRefused("no-such-credential")
        return self._api._signatures[credential]

    def cache_get(self, key: str) -> bytes | None:
        return self._api._cache.get(key)

    def cache_remove(self, key: str) -> None:
        self._api._cache.pop(key, None)

    def cache_put(self, key: str, value: bytes, ttl_ms: int) -> None:
        if len(key.encode("utf-8")) <= _CACHE_KEY_BYTES and len(value) <= _CACHE_VALUE_BYTES:
            self._api._cache[key] = value


class Expectation:
    """An expected request being described; `answers` or `fails` ends it."""

    def __init__(self, api: Api, expected: _Expected) -> None:
        self._api = api
        self._expected = expected
        self._answer_headers: list[tuple[str, str]] = []
        self._answer_url = ""

    def header(self, name: str, value: str) -> Self:
        """Expects a header of this value; headers that are not mentioned are not looked at."""
        self._expected.headers.append((name, value))
        return self

    def credential(self, name: str) -> Self:
        """Expects the host to be asked for a credential, and after it for each further one. Without this, for none."""
        self._expected.credentials.append(name)
        return self

    def body(self, body: str | bytes) -> Self:
        """Expects exactly this body. Without this, the body is not looked at."""
        self._expected.body = body.encode("utf-8") if isinstance(body, str) else body
        return self

    def answer_header(self, name: str, value: str) -> Self:
        """Gives the answer a header."""
        self._answer_headers.append((name.lower(), value))
        return self

    def answer_url(self, url: str) -> Self:
        """Lets the answer come from another URL, as after redirects."""
        self._answer_url = url
        return self

    def answers(self, status: int, body: str | bytes = b"") -> Api:
        """Answers with a status and a body."""
        body = body.encode("utf-8") if isinstance(body, str) else body
        return self._end(Answered(status, self._answer_headers, body, self._answer_url, 1))

    def fails(self, tag: HttpErrorTag, value: str | int = "") -> Api:
        """Gives no answer, but an error of the contract."""
        return self._end(NotAnswered(tag, value))

    def _end(self, answer: Answered | NotAnswered) -> Api:
        self._expected.answer = answer
        self._api._expected.append(self._expected)
        return self._api


def _differences(expected: _Expected, request: Prepared) -> list[str]:
    """Each point in which a request is not the expected one, as a line of its own."""
    points = [("method", expected.method, request.method), ("URL", expected.url, request.url)]
    for name, value in expected.headers:
        sent = [given for known, given in request.headers if known.lower() == name.lower()]
        points.append((f"header {name}", value, value if value in sent else ", ".join(sent)))
    points.append(("credentials", _named(expected.credentials), _named(request.credentials)))
    if expected.body is not None:
        points.append(("body", repr(expected.body), repr(request.body or b"")))
    return [f"  {what}: expected {wanted!r}, sent {given!r}" for what, wanted, given in points if wanted != given]


def _named(credentials: list[str]) -> str:
    return ", ".join(credentials) or "(none)"


def _refusal(headers: list[tuple[str, str]]) -> str | None:
    """Why the host would not take a request, so that a test finds out before it does."""
    for name, value in headers:
        lower = name.lower()
        if lower in _THE_HOSTS or lower.startswith("proxy-"):
            return f"only the host sets the header {name}"
        if not _TOKEN.fullmatch(name):
            return f"{name!r} is not a header name"
        if any(character in value for character in "\r\n\0"):
            return f"the value of header {name} holds a line break or NUL"
    return None
