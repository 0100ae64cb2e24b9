"""HTTP, through the host's egress policy. Nothing is sent before `send`; a mistake on the way is raised by it."""

import json as _json
from collections.abc import Iterable, Mapping
from typing import Any, Self

from . import _url
from ._backend import Answered, NotAnswered, Prepared, backend
from ._durations import check_seconds
from .failures import Failure, Malformed, Other, TimedOut, Unavailable
from .response import Response

# The most requests that the host takes at once.
_SEND_ALL_MAX = 64

#: The types of a value in a URL; the author converts anything else to text.
Value = str | int | float


def get(url: str) -> "Request":
    """A GET of a URL; see `Request.path` for what may stand in it."""
    return Request("GET", url)


def head(url: str) -> "Request":
    """A HEAD of a URL."""
    return Request("HEAD", url)


def post(url: str) -> "Request":
    """A POST to a URL."""
    return Request("POST", url)


def put(url: str) -> "Request":
    """A PUT to a URL."""
    return Request("PUT", url)


class Request:
    """A request being built; each method answers the request itself."""

    def __init__(self, method: str, url: str) -> None:
        self._method = method
        self._template = url
        self._values: dict[str, str] = {}
        self._query: list[tuple[str, str]] = []
        self._headers: list[tuple[str, str]] = []
        self._body: bytes | None = None
        self._credentials: list[str] = []
        self._timeout_ms: int | None = None
        self._problem: Failure | None = None

    def path(self, name: str, value: Value) -> Self:
        """Fills `{name}` in the URL's path or query.

        The value is percent-encoded whole, so that an id with slashes, quotes or newlines stays inside its segment; one that
        no segment can carry (empty, or dots alone) makes `send` raise `Rejected`.
        """
        self._values[name] = str(value)
        return self

    def join(self, path: str) -> Self:
        """Appends a path to the URL, with one slash between; it may hold placeholders."""
        try:
            self._template = _url.join(self._template, path)
        except Failure as error:
            self._problem = self._problem or error
        return self

    def query(self, name: str, value: Value) -> Self:
        """Adds `name=value` to the query, both percent-encoded."""
        self._query.append((name, str(value)))
        return self

    def header(self, name: str, value: str) -> Self:
        """Adds a header. Authorization, Host, Cookie and the like are the host's: see `credential`."""
        self._headers.append((name, value))
        return self

    def credential(self, name: str) -> Self:
        """Lets the host apply a credential of provider.toml, one after another where an API wants more.

        The secrets themselves never enter the provider.
        """
        self._credentials.append(name)
        return self

    def timeout(self, seconds: float) -> Self:
        """Gives this request less time than the whole call has."""
        self._timeout_ms = max(0, int(check_seconds("seconds", seconds) * 1000))
        return self

    def body(self, content_type: str, body: str | bytes) -> Self:
        """Sets the body and its media type."""
        self._headers = [(name, value) for name, value in self._headers if name.lower() != "content-type"]
        self._headers.append(("content-type", content_type))
        self._body = body.encode("utf-8") if isinstance(body, str) else bytes(body)
        return self

    def json(self, value: Any) -> Self:
        """Sets the body to a value as JSON."""
        try:
            text = _json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
        except (TypeError, ValueError, RecursionError) as error:
            problem = Other("invalid-request", f"the body has no form in JSON: {error}")
            self._problem = self._problem or problem
            return self
        return self.body("application/json", text)

    def form(self, fields: Mapping[str, Value] | Iterable[tuple[str, Value]]) -> Self:
        """Sets the body to a form (`application/x-www-form-urlencoded`)."""
        pairs = fields.items() if isinstance(fields, Mapping) else fields
        body = _url.encode_pairs((name, str(value)) for name, value in pairs)
        return self.body("application/x-www-form-urlencoded", body)

    def send(self) -> Response:
        """Sends the request and waits for its whole answer, of whatever status; raises a `Failure` where there is none."""
        prepared = self._prepare()
        answer = _answer(prepared, backend().send(prepared))
        if isinstance(answer, Failure):
            raise answer
        return answer

    def _prepare(self) -> Prepared:
        if self._problem is not None:
            raise self._problem
        url = _url.build(self._template, self._values, self._query)
        return Prepared(self._method, url, self._headers, self._body, self._credentials, self._timeout_ms)


def send_all(requests: Iterable[Request]) -> list[Response | Failure]:
    """Sends several requests and waits for all.

    Answers come in the order of the requests, a `Response` or the `Failure` that took its place. They run side by side as far
    as the provider's concurrency has room. A request that cannot be built has its failure there, and the others are sent.
    """
    answers: list[Response | Failure | None] = []
    ready: list[tuple[int, Prepared]] = []
    for request in requests:
        try:
            ready.append((len(answers), request._prepare()))
            answers.append(None)
        except Failure as error:
            answers.append(error)
    for start in range(0, len(ready), _SEND_ALL_MAX):
        part = ready[start : start + _SEND_ALL_MAX]
        results = backend().send_all([prepared for _, prepared in part])
        for (index, prepared), result in zip(part, results):
            answers[index] = _answer(prepared, result)
    missing = Other("http", "the host gave fewer answers than requests")
    return [missing if answer is None else answer for answer in answers]


def _answer(request: Prepared, answer: Answered | NotAnswered) -> Response | Failure:
    return Response(request.method, answer) if isinstance(answer, Answered) else _failure(answer)


def _failure(error: NotAnswered) -> Failure:
    """The failure for an error of the contract's `http`.

    Neither `denied` nor `invalid` is `Rejected`: both are the provider's or its manifest's mistake, and `Rejected` would make
    a dead letter of every item at once, while after a mend they may all succeed.
    """
    match error.tag:
        case "denied":
            return Other("denied", f"refused by the egress policy: {error.value}")
        case "invalid":
            return Other("invalid-request", f"not a valid request: {error.value}")
        case "unreachable":
            return Unavailable(f"no connection: {error.value}")
        case "broken":
            return Unavailable(f"the connection broke: {error.value}")
        case "timed-out":
            return TimedOut("no whole answer in time")
        case "too-large":
            return Malformed(f"the answer is larger than the limit of {error.value} bytes")
        case "redirects":
            return Malformed(f"redirects that lead nowhere: {error.value}")
        case _:
            return Other("http", str(error.value))
