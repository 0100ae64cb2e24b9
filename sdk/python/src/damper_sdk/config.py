"""The manifest's `[config]`: what the operator may set for this provider."""

from ._backend import backend
from .failures import Other


def get(key: str) -> str | None:
    """A key as the operator set it, or its default; None where the manifest does not list it."""
    return backend().config_get(key)


def required(key: str) -> str:
    """A key without which the provider cannot work; `Other("config")`, with what to set, where it is not listed or empty."""
    value = get(key)
    if value is None:
        raise Other("config", f"`{key}` is not listed under [config] in provider.toml; add it there")
    if not value.strip():
        raise Other("config", f"`{key}` is not set; set it in this provider's config in damper.toml")
    return value


def flag(key: str) -> bool:
    """A key that switches something: "true", or anything else (also nothing) for false."""
    return (get(key) or "").strip().lower() == "true"
