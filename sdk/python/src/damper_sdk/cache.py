"""A small memory that outlives a call, and may forget at any time: a session login, a token.

It is bounded (keys of 256 bytes, values of 64 KiB, 1 MiB in all; what is larger is not kept), and cleared whenever a call
fails as `unauthorized`.
"""

from collections.abc import Callable

from ._backend import backend
from ._durations import check_seconds


def get(key: str) -> bytes | None:
    """What `put` kept under a key, if it is still there."""
    return backend().cache_get(key)


def put(key: str, value: str | bytes, ttl: float) -> None:
    """Keeps a value for this provider's later calls, at most for `ttl` seconds."""
    value = value.encode("utf-8") if isinstance(value, str) else value
    backend().cache_put(key, value, max(0, int(check_seconds("ttl", ttl) * 1000)))


def remove(key: str) -> None:
    """Forgets what is kept under a key, if anything."""
    backend().cache_remove(key)


def text_or(key: str, ttl: float, make: Callable[[], str]) -> str:
    """The text kept under a key, or what `make` gives, kept from now on."""
    kept = get(key)
    if kept is not None:
        try:
            return kept.decode("utf-8")
        except UnicodeDecodeError:
            pass
    value = make()
    put(key, value, ttl)
    return value
