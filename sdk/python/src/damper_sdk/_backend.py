"""The host's part: the component's imports in a component, the scripted API of `testing` natively. Everything above this is
the same in both."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Prepared:
    """A request ready to be sent: the contract's shape, without its generated types."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes | None
    credentials: list[str]
    timeout_ms: int | None


@dataclass(frozen=True)
class Answered:
    """A whole answer, likewise."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    url: str
    duration_ms: int


@dataclass(frozen=True)
class NotAnswered:
    """Why there was no whole answer: the contract's word, and what belongs to it."""

    tag: str
    value: str | int = ""


class SignRefused(Exception):
    """Why the host gave no signature: `no-such-credential` or `no-secret`."""


class Backend(Protocol):
    """The services of the host."""

    def send(self, request: Prepared) -> Answered | NotAnswered: ...
    def send_all(self, requests: list[Prepared]) -> list[Answered | NotAnswered]: ...
    def log(self, level: str, message: str) -> None: ...
    def config_get(self, key: str) -> str | None: ...
    def sign(self, credential: str, algorithm: str, payload: bytes) -> bytes: ...
    def cache_get(self, key: str) -> bytes | None: ...
    def cache_remove(self, key: str) -> None: ...
    def cache_put(self, key: str, value: bytes, ttl_ms: int) -> None: ...


_current: Backend | None = None


def backend() -> Backend:
    """The host's functions, as the component or a test installed them."""
    if _current is None:
        raise RuntimeError("natively there is no host: call this inside of damper_sdk.testing.Api().run(), which plays one")
    return _current


def install(functions: Backend | None) -> Backend | None:
    """Installs the host's functions; answers what was there before."""
    global _current
    before, _current = _current, functions
    return before
