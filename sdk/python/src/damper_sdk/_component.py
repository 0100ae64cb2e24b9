"""The component's side of the contract: from the host's call to the author's function and back, and the only place that knows
the generated types. `damper build` puts it into the component; natively there is nothing to import it for."""

import time
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

import wit_world  # type: ignore[import-not-found]
from componentize_py_types import Err  # type: ignore[import-not-found]
from wit_world.imports import host as wit_host  # type: ignore[import-not-found]
from wit_world.imports import http as wit_http
from wit_world.imports import types as wit

from . import _preloaded  # noqa: F401 - a call finds no file to import
from ._backend import Answered, NotAnswered, Prepared, SignRefused, install
from ._exceptions import describe
from ._instead import ASYNC, refuse_sleep
from .failures import Failure, NotReady, Other
from .record import FetchRequest, Record

# Before the author's module is imported. A sleep would hold the call and a slot of the API until its timeout.
time.sleep = refuse_sleep
_KINDS: dict[str, Callable[[], Any]] = {
    "throttled": wit.FailureKind_Throttled,
    "unavailable": wit.FailureKind_Unavailable,
    "timed-out": wit.FailureKind_TimedOut,
    "unauthorized": wit.FailureKind_Unauthorized,
    "not-found": wit.FailureKind_NotFound,
    "rejected": wit.FailureKind_Rejected,
    "malformed": wit.FailureKind_Malformed,
}
_ERRORS = {
    wit_http.HttpError_Denied: "denied",
    wit_http.HttpError_Invalid: "invalid",
    wit_http.HttpError_Unreachable: "unreachable",
    wit_http.HttpError_Broken: "broken",
    wit_http.HttpError_TimedOut: "timed-out",
    wit_http.HttpError_TooLarge: "too-large",
    wit_http.HttpError_Redirects: "redirects",
    wit_http.HttpError_Other: "other",
}
_LEVELS = {
    "debug": wit_host.Level.DEBUG,
    "info": wit_host.Level.INFO,
    "warn": wit_host.Level.WARN,
    "error": wit_host.Level.ERROR,
}
_ALGORITHMS = {"hmac-sha256": wit_host.Algorithm.HMAC_SHA256, "hmac-sha512": wit_host.Algorithm.HMAC_SHA512}


class _Host:
    """The component's imports as the SDK's backend."""

    def send(self, request: Prepared) -> Answered | NotAnswered:
        try:
            return _answered(wit_http.send(_request_out(request)))
        except Err as error:
            return _not_answered(error.value)

    def send_all(self, requests: list[Prepared]) -> list[Answered | NotAnswered]:
        results = wit_http.send_all([_request_out(request) for request in requests])
        return [_not_answered(each.value) if isinstance(each, Err) else _answered(each.value) for each in results]

    def log(self, level: str, message: str) -> None:
        wit_host.log(_LEVELS[level], message)

    def config_get(self, key: str) -> str | None:
        value: str | None = wit_host.config_get(key)
        return value

    def sign(self, credential: str, algorithm: str, payload: bytes) -> bytes:
        try:
            signature: bytes = wit_host.sign(credential, _ALGORITHMS[algorithm], payload)
            return signature
        except Err as error:
            has_none = isinstance(error.value, wit_host.SignError_NoSecret)
            raise SignRefused("no-secret" if has_none else "no-such-credential") from None

    def cache_get(self, key: str) -> bytes | None:
        value: bytes | None = wit_host.cache_get(key)
        return value

    def cache_remove(self, key: str) -> None:
        wit_host.cache_remove(key)

    def cache_put(self, key: str, value: bytes, ttl_ms: int) -> None:
        wit_host.cache_put(key, value, ttl_ms)


def component(fetch_record: Callable[[FetchRequest], Record]) -> type:
    """The world's class, of the author's function.

    A `Failure` is the contract's failure. Any other exception is a defect of the provider: `other("exception")`, which the host
    treats as a trap. It is not raised on, because the runtime would write a traceback and panic beside it.
    """
    install(_Host())

    class WitWorld(wit_world.WitWorld):  # type: ignore[misc]
        def fetch_record(self, request: Any) -> Any:
            try:
                return _record_out(fetch_record(_request_in(request)))
            except Failure as failure:
                raised = Err(_failure_out(failure))
            except BaseException as error:
                raised = Err(_failure_out(Other("exception", describe(error))))
            raise raised

    return WitWorld


def _request_in(request: Any) -> FetchRequest:
    return FetchRequest(
        id=request.id,
        params=dict(request.params),
        attempt=request.attempt,
        day=request.day,
        deadline=request.deadline_ms / 1000,
        resume=request.resume,
        extras=dict(request.extras),
    )


def _record_out(record: Any) -> Any:
    if isawaitable(record):
        raise TypeError(ASYNC)
    if not isinstance(record, Record):
        raise TypeError(f"fetch_record returned {type(record).__name__}, which is no Record")
    attributes = [(str(name), str(value)) for name, value in record.attributes.items()]
    return wit.Fetched(record.content_type, bytes(record.body), attributes, [])


def _failure_out(failure: Failure) -> Any:
    known = _KINDS.get(failure.kind)
    if isinstance(failure, NotReady):
        kind = wit.FailureKind_NotReady(failure.resume)
    else:
        kind = wit.FailureKind_Other(failure.kind) if known is None else known()
    wait = None if failure.retry_after is None else max(0, int(failure.retry_after * 1000))
    return wit.Failure(kind, failure.message, wait, failure.status, [])


def _request_out(request: Prepared) -> Any:
    return wit_http.Request(
        request.method, request.url, request.headers, request.body, request.credentials, request.timeout_ms, []
    )


def _answered(answer: Any) -> Answered:
    return Answered(answer.status, answer.headers, answer.body, answer.url, answer.duration_ms)


def _not_answered(error: Any) -> NotAnswered:
    return NotAnswered(_ERRORS[type(error)], getattr(error, "value", ""))
