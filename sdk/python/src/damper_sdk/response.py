"""One whole answer, and what its status means."""

import time
from typing import Any, Self

from . import _retry_after, json, text, xml
from ._backend import Answered
from ._text import body_excerpt
from .failures import (
    Failure,
    Malformed,
    NotFound,
    Rejected,
    Throttled,
    TimedOut,
    Unauthorized,
    Unavailable,
)
from .xml import Element

# Headers in which APIs say when they count requests anew.
_RATE_LIMIT_RESETS = ("ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset")
# The reason phrase of a status (RFC 9110 and 6585); nothing for the less usual.
_REASONS = {
    301: "Moved Permanently", 302: "Found", 304: "Not Modified", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 408: "Request Timeout",
    409: "Conflict", 410: "Gone", 415: "Unsupported Media Type", 422: "Unprocessable Content",
    429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout",
}  # fmt: skip


class Response:
    """One whole answer, of whatever status."""

    def __init__(self, method: str, answered: Answered) -> None:
        self._method = method
        self.status: int = answered.status
        #: Names in lower case, in the order received.
        self.headers: list[tuple[str, str]] = answered.headers
        #: The body, decompressed.
        self.body: bytes = answered.body
        #: The URL that answered, after redirects.
        self.url: str = answered.url
        #: Seconds from sending the first request to the last byte of the answer.
        self.duration: float = answered.duration_ms / 1000

    def header(self, name: str) -> str | None:
        """The first header of a name, in whatever case."""
        wanted = name.lower()
        return next((value for known, value in self.headers if known.lower() == wanted), None)

    def text(self) -> str:
        """The body as text, by its byte order mark, its charset, or as UTF-8; `Malformed` where it is not in that encoding."""
        try:
            return text.decode(self.body, self.header("content-type"))
        except Malformed as error:
            raise self._malformed(error.message) from None

    def xml(self) -> Element:
        """The body parsed as XML, in its encoding; `Malformed` where it is not well-formed, or refused."""
        try:
            return xml.parse(self.body, self.header("content-type"))
        except Malformed as error:
            raise self._malformed(error.message) from None

    def json(self) -> Any:
        """The body parsed as JSON; `Malformed` where it is none."""
        try:
            return json.parse(self.body.decode("utf-8"))
        except UnicodeDecodeError:
            reason = "not the expected JSON: not UTF-8"
        except Malformed as error:
            reason = error.message
        raise self._malformed(reason)

    @property
    def retry_after(self) -> float | None:
        """How long the API asks to be left alone (Retry-After, in seconds or as a date), in seconds from now."""
        value = self.header("retry-after")
        return None if value is None else _retry_after.parse(value, self.header("date"), time.time)

    @property
    def rate_limit_reset(self) -> float | None:
        """How long until the API counts requests anew, in seconds from now. It does not say that there were too many."""
        values = (self.header(name) for name in _RATE_LIMIT_RESETS)
        value = next((value for value in values if value is not None), None)
        return None if value is None else _retry_after.reset(value, self.header("date"), time.time)

    def ok(self) -> Self:
        """This answer if its status is 2xx; else raises the failure that the status stands for."""
        if 200 <= self.status <= 299:
            return self
        kind = _kind_of(self.status)
        wait = self.retry_after if kind in (Throttled, Unavailable) else None
        if kind is Throttled and wait is None:
            wait = self.rate_limit_reset
        reason = f" {_REASONS[self.status]}" if self.status in _REASONS else ""
        excerpt = body_excerpt(self.body)
        message = f"{self._place()} answered {self.status}{reason}" + (f": {excerpt}" if excerpt else "")
        raise kind(message, status=self.status, retry_after=wait)

    def _malformed(self, reason: str) -> Malformed:
        return Malformed(f"{self._place()}: {reason}", status=self.status)

    def _place(self) -> str:
        # Method and URL; the query stays out, since it is where APIs put keys.
        return f"{self._method} {self.url.split('?')[0].split('#')[0]}"


def _kind_of(status: int) -> type[Failure]:
    match status:
        case 429:
            return Throttled
        case 408:
            return TimedOut
        case 401 | 403 | 407:
            return Unauthorized
        case 404 | 410:
            return NotFound
    if 400 <= status <= 499:
        return Rejected
    if 500 <= status <= 599:
        return Unavailable
    return Malformed
