"""A scripted API, for an author's own tests: the provider function runs natively, under pytest or unittest, and sees
what it sees in a component.

The script says which requests are expected, in order, and how each is answered. An unexpected request fails the test
and says how it differs.
"""

import re
import sys
import tomllib
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from inspect import isawaitable
from pathlib import Path
from typing import Literal, Self, TypeVar

from ._backend import Answered, NotAnswered, Prepared, SignRefused, install
from ._guard import Trap, as_in_a_component
from ._instead import ASYNC
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
    """A scripted API, and the host around it.

    A request may name the credentials of `manifest`; by default of the provider.toml in the working folder or above.
    `guarded=False` shows the function all that Python has natively, for a debugger.
    """

    def __init__(self, *, manifest: Path | None = None, guarded: bool = True) -> None:
        self._credentials = _credential_names(manifest or _nearest_manifest())
        self._guarded = guarded
        self._expected: deque[_Expected] = deque()
        self._config: dict[str, str] = {}
        self._cache: dict[str, bytes] = {}
        self._signatures: dict[str, bytes] = {}
        self._problem: ScriptError | Trap | None = None
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
        author = getattr(test, "__module__", "provider")
        guard = as_in_a_component(lambda: _author(author), self._on_trap) if self._guarded else nullcontext()
        try:
            with guard:
                result = test()
                if isawaitable(result):
                    _close(result)
                    raise TypeError(ASYNC)
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
        refused = _refusal(request.headers) or _unknown_credential(request.credentials, self._credentials)
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
        problem = ScriptError(message)
        self._problem = self._problem or problem
        return problem

    def _on_trap(self, trap: Trap) -> None:
        self._problem = self._problem or trap


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


def _author(test: str) -> str:
    """The module that a component would be made of: `provider`, or in a test of another module that of the test."""
    return "provider" if "provider" in sys.modules else test


def _close(coroutine: object) -> None:
    """Python warns of a coroutine that is not awaited."""
    close = getattr(coroutine, "close", None)
    if close is not None:
        close()


def _nearest_manifest() -> Path | None:
    """The provider.toml that a test which runs here is of."""
    here = Path.cwd()
    return next((path for folder in (here, *here.parents) if (path := folder / "provider.toml").is_file()), None)


def _credential_names(manifest: Path | None) -> list[str] | None:
    """The names of the credentials that a request may carry; None without a manifest."""
    if manifest is None:
        return None
    try:
        credentials = tomllib.loads(manifest.read_text("utf-8")).get("credentials", {})
    except ValueError as error:
        raise ValueError(f"{manifest}: {error}") from None
    # A signature's credential is not one of a request.
    return sorted(name for name, credential in credentials.items() if credential.get("kind") != "hmac")


def _unknown_credential(names: list[str], known: list[str] | None) -> str | None:
    """As the host says it."""
    unknown = next((name for name in names if known is not None and name not in known), None)
    if unknown is None:
        return None
    those = f"those that can are {', '.join(known or [])}"
    told = those if known else "it has none that can: add [credentials.NAME] to provider.toml"
    return f'the manifest has no credential "{unknown}" that can be sent; {told}'
